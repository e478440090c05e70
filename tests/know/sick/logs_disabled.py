"""A logging configuration that disables what is there."""

import logging
import logging.config

logging.getLogger("shop.orders")
logging.config.dictConfig({"version": 1})


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
