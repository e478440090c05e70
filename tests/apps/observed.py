"""What tests of logs, metrics and time limits ask for."""

import os
import time

from common import App, mark, query, text, wait_gate

app = App()


@app.route("/")
def hello(environ, start_response):
    return text(start_response, "hello")


@app.route("/pid")
def pid(environ, start_response):
    return text(start_response, str(os.getpid()))


@app.route("/status")
def status(environ, start_response):
    return text(start_response, "so be it", environ["QUERY_STRING"] + " Chosen")


@app.route("/fields")
def fields(environ, start_response):
    environ["REMOTE_USER"] = 'al"ice'
    return text(start_response, "x", headers=[("X-Reply", 'q"uote'), ("X-Reply-2", "two")])


@app.route("/read")
def read(environ, start_response):
    return text(start_response, str(len(environ["wsgi.input"].read())))


@app.route("/environ")
def environ_(environ, start_response):
    names = environ["QUERY_STRING"].split(",")
    return text(start_response, "\n".join(f"{name}={environ.get(name)}" for name in names))


@app.route("/wait")
def wait(environ, start_response):
    mark("waiting", environ["QUERY_STRING"])
    wait_gate(environ["QUERY_STRING"])
    return text(start_response, "waited")


@app.route("/wait-on")
def wait_on(environ, start_response):
    """Does not let itself be interrupted."""
    import cwsgi

    try:
        wait_gate(environ["QUERY_STRING"])
    except cwsgi.RequestTimeout:
        mark("interrupted")
        wait_gate(environ["QUERY_STRING"])
    return text(start_response, "waited")


@app.route("/stream")
def stream(environ, start_response):
    """Begins its response, then takes its time."""
    start_response("200 OK", [("Content-Type", "text/plain")])

    def body():
        yield b"first;"
        mark("streaming")
        wait_gate("stream")
        yield b"second;"

    return body()


@app.route("/sleep")
def sleep(environ, start_response):
    time.sleep(float(query(environ)["s"]))
    return text(start_response, "slept")


@app.route("/log")
def log(environ, start_response):
    environ["wsgi.errors"].write("from the app\n")
    return text(start_response, "written")


@app.route("/fail")
def fail(environ, start_response):
    raise ValueError("as asked")
