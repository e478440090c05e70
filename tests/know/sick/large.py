"""Holds much memory."""

DATA = bytearray(b"x") * (80 << 20)


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
