"""The apps that the benchmark serves."""

import time

BODY = b"Hello, World!"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]


def app(environ, start_response):
    start_response("200 OK", HEADERS)
    return [BODY]


def blocking(environ, start_response):
    """A handler that waits for something for a millisecond."""
    time.sleep(0.001)
    start_response("200 OK", HEADERS)
    return [BODY]


def mixed(environ, start_response):
    """/slow occupies a thread for half a second, everything else is quick."""
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.5)
    start_response("200 OK", HEADERS)
    return [BODY]
