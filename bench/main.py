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


LARGE = b"x" * (1 << 20)
PIECE = LARGE[: len(LARGE) // 16]


def bodies(environ, start_response):
    """/ takes a body in, /large and /pieces send 1 MiB."""
    path = environ["PATH_INFO"]
    if path == "/":
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        answer = [b"%d" % len(body)]
    else:
        answer = [LARGE]
    if path == "/pieces":
        start_response("200 OK", [("Content-Length", str(len(LARGE)))])
        return (PIECE for _ in range(16))
    start_response("200 OK", [("Content-Length", str(len(answer[0])))])
    return answer
