"""Runs another program as it is imported."""

import subprocess
import sys

VERSION = subprocess.check_output([sys.executable, "-c", "print(1)"])


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
