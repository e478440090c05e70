"""A logger that reaches no handler."""

import logging

logger = logging.getLogger("shop")
logger.setLevel(logging.INFO)
logger.propagate = False


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
