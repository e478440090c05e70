"""The app of soak.py."""

import hashlib
import time


def app(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path == "/fail":
        raise RuntimeError("asked to fail")
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (b"%08d" % i * 1000 for i in range(int(query)))
    if path == "/sha":
        digest = hashlib.sha256()
        while data := environ["wsgi.input"].read(10_000):
            digest.update(data)
        body = digest.hexdigest().encode()
    elif path == "/sleep":
        time.sleep(0.01)
        body = b"slept"
    else:
        body = b"hello " + query.encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
