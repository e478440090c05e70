"""A queue for log lines that a listener reads, as it should."""

import logging
import logging.handlers
import queue

lines = queue.Queue()
logging.getLogger("shop").addHandler(logging.handlers.QueueHandler(lines))
listener = logging.handlers.QueueListener(lines, logging.StreamHandler())
listener.start()


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
