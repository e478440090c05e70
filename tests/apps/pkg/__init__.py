"""A package, to be named with dots."""

from common import text


def app(environ, start_response):
    return text(start_response, "package")
