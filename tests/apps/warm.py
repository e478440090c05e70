"""An app with functions for its start and its end, and paths to warm it up."""

import os
import time

import cwsgi
from common import STATE, App, mark, text, wait_gate

app = App()


@cwsgi.on_startup
def first():
    mark("startup", "first")
    wait_gate("startup")


@cwsgi.on_startup
def second():
    mark("startup", "second")
    wait_gate("startup")
    if os.environ.get("BREAK_STARTUP"):
        raise RuntimeError("no database")


@cwsgi.on_shutdown
def one():
    mark("shutdown", "one")


@cwsgi.on_shutdown
def two():
    mark("shutdown", "two")
    if os.environ.get("HANG_SHUTDOWN"):
        time.sleep(600)


@app.route("/first")
@app.route("/second one")
def warm(environ, start_response):
    mark("warm", "{REQUEST_METHOD} {PATH_INFO} {QUERY_STRING}".format_map(environ))
    wait_gate("warm")
    return text(start_response, "warm")


@app.route("/fails")
def fails(environ, start_response):
    return text(start_response, "cold", "503 Service Unavailable")


@app.route("/raises")
def raises(environ, start_response):
    raise RuntimeError("cold")


@app.route("/version")
def version(environ, start_response):
    failing = (STATE / "version-fails").exists()
    return text(start_response, "version", "503 Broken" if failing else "200 OK")


@app.route("/wait")
def wait(environ, start_response):
    mark("waiting")
    wait_gate("wait")
    return text(start_response, "waited")
