"""What the test apps share: a router, plain answers, and files to talk to the test by."""

import json
import os
import time
from pathlib import Path

STATE = Path(os.environ.get("CWSGI_TEST_DIR", "."))


class App:
    """A WSGI app made of functions, one per path."""

    def __init__(self):
        self.routes = {}

    def route(self, path):
        def keep(function):
            self.routes[path] = function
            return function

        return keep

    def __call__(self, environ, start_response):
        function = self.routes.get(environ["PATH_INFO"], not_found)
        return function(environ, start_response)


def not_found(environ, start_response):
    return text(start_response, "not found", "404 Not Found")


def text(start_response, body, status="200 OK", headers=()):
    data = body.encode() if isinstance(body, str) else body
    start_response(status, [("Content-Type", "text/plain"), *headers])
    return [data]


def answer_json(start_response, value, status="200 OK"):
    data = json.dumps(value).encode()
    start_response(status, [("Content-Type", "application/json")])
    return [data]


def query(environ):
    pairs = (pair.partition("=") for pair in environ["QUERY_STRING"].split("&") if pair)
    return {key: value for key, _, value in pairs}


def mark(name, line=""):
    """Tells the test that something happened: one more line in a file."""
    with open(STATE / f"mark-{name}", "a") as file:
        file.write(f"{line}\n")


def wait_gate(name, timeout=50.0):
    """Waits until the test opens the gate."""
    gate, all_gates = STATE / f"gate-{name}", STATE / "all-gates"
    deadline = time.monotonic() + timeout
    while not gate.exists() and not all_gates.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"gate {name} was never opened")
        time.sleep(0.005)
