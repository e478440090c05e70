"""A module deep in a package, with a relative import."""

from common import text

from . import words


def application(environ, start_response):
    return text(start_response, words.WORDS)
