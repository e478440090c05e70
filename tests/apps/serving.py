"""Handlers that wait, stream and count: for connections and the scheduler."""

import os
import threading
import time
from wsgiref.validate import validator

from common import App, answer_json, mark, query, text, wait_gate

app = App()
PLAIN = [("Content-Type", "text/plain")]
lock = threading.Lock()
state = {"now": 0, "most": 0, "yielded": 0, "calls": 0}
barrier = threading.Barrier(8)


@app.route("/quick")
def quick(environ, start_response):
    return text(start_response, "quick")


@app.route("/id")
def identity(environ, start_response):
    return text(start_response, environ["QUERY_STRING"])


@app.route("/echo")
def echo(environ, start_response):
    return text(start_response, environ["QUERY_STRING"].encode() + environ["wsgi.input"].read())


@app.route("/wait")
def wait(environ, start_response):
    """Answers when the test opens the gate ?NAME."""
    mark("waiting", environ["QUERY_STRING"])
    wait_gate(environ["QUERY_STRING"])
    return text(start_response, "waited " + environ["QUERY_STRING"])


@app.route("/block")
def block(environ, start_response):
    """Does not end within any test's patience."""
    mark("blocking")
    threading.Event().wait(3600)
    return text(start_response, "never")


@app.route("/barrier")
def meet(environ, start_response):
    """Answers only when eight threads are here at once."""
    barrier.wait(timeout=30)
    return text(start_response, threading.current_thread().name)


@app.route("/counted")
def counted(environ, start_response):
    """Notes how many of its kind run at the same time."""
    with lock:
        state["now"] += 1
        state["calls"] += 1
        state["most"] = max(state["most"], state["now"])
    time.sleep(float(query(environ).get("sleep", "0.005")))
    with lock:
        state["now"] -= 1
    return text(start_response, "counted")


@app.route("/state")
def show_state(environ, start_response):
    return answer_json(start_response, dict(state))


@app.route("/thread")
def thread(environ, start_response):
    current = threading.current_thread()
    return answer_json(
        start_response,
        {
            "main": current is threading.main_thread(),
            "name": current.name,
            "native": threading.get_native_id() == os.getpid(),
            "daemon": current.daemon,
            "registered": current in threading.enumerate(),
        },
    )


local = threading.local()


@app.route("/local")
def thread_local(environ, start_response):
    """Thread-local values live as long as the thread."""
    local.count = getattr(local, "count", 0) + 1
    return text(start_response, str(local.count))


@app.route("/spin")
def spin(environ, start_response):
    """Holds the GIL as long as Python lets it, until the gate opens.

    Each look at the gate gives the GIL up for microseconds and starts the switch interval
    (5 ms) of those who wait for it afresh; so it looks far less often than that."""
    mark("spinning")
    from common import STATE

    while not (STATE / "gate-spin").exists() and not (STATE / "all-gates").exists():
        looked = time.monotonic()
        while time.monotonic() < looked + 0.1:
            pass
    return text(start_response, "spun")


@app.route("/stream")
def stream(environ, start_response):
    """?count=N: N items of 64 KiB, each numbered, with a count of what was taken."""
    count = int(query(environ)["count"])
    start_response("200 OK", PLAIN)

    def items():
        filler = b"." * (65536 - 8)
        for number in range(count):
            state["yielded"] += 1
            yield b"%08d" % number + filler

    return items()


@app.route("/pid")
def pid(environ, start_response):
    return text(start_response, str(os.getpid()))


checked = validator(app)
