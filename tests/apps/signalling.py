"""An app with signal handlers, connections and contexts of its own, made at import."""

import asyncio
import contextvars
import faulthandler
import logging
import os
import signal
import sqlite3
import sys
import threading
import time

from common import App, mark, text, wait_gate

app = App()
HANDLE = os.environ.get("HANDLE", "").split()
RAISES = {"ValueError": ValueError, "SystemExit": SystemExit, "": None}[
    os.environ.get("HANDLER_RAISES", "")
]
CHAIN = os.environ.get("CHAIN")
before = {}
main_thread = threading.get_ident()
database = sqlite3.connect(":memory:")
variable = contextvars.ContextVar("variable")
variable.set("import")
loop = asyncio.new_event_loop()


def handle(number, frame):
    mark("handled", signal.Signals(number).name)
    mark("on main", threading.get_ident() == main_thread)
    if CHAIN:
        before[number](number, frame)
    if RAISES:
        raise RAISES("from a signal handler")


for name in HANDLE:
    before[getattr(signal, name)] = signal.signal(getattr(signal, name), handle)
if os.environ.get("FAULTHANDLER"):
    faulthandler.register(signal.SIGUSR1, file=sys.stderr, all_threads=True)


@app.route("/")
def hello(environ, start_response):
    return text(start_response, f"hello from {os.getpid()}")


@app.route("/wait")
def wait(environ, start_response):
    mark("waiting")
    wait_gate("wait")
    return text(start_response, "waited")


@app.route("/busy")
def busy(environ, start_response):
    """Computes until the gate opens: the interpreter never waits."""
    mark("busy")
    gate = f"{os.environ['CWSGI_TEST_DIR']}/gate-busy"
    while not os.path.exists(gate):
        sum(range(1000))
    return text(start_response, "done")


@app.route("/alarm")
def alarm(environ, start_response):
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    return text(start_response, "set")


@app.route("/thread")
def thread(environ, start_response):
    """Which thread this is, and how what was made at import behaves here."""
    try:
        database.execute("select 1")
        sqlite = "works"
    except sqlite3.ProgrammingError:
        sqlite = "refuses"
    parts = (
        threading.get_ident() == main_thread,
        threading.current_thread() is threading.main_thread(),
        threading.current_thread().name,
        sqlite,
        variable.get("none"),
    )
    return text(start_response, " ".join(map(str, parts)))


@app.route("/log")
def log(environ, start_response):
    record = logging.getLogger("x").makeRecord("x", 20, "f", 1, "m", (), None)
    return text(start_response, record.threadName)


@app.route("/asyncio")
def run_asyncio(environ, start_response):
    """A request that runs an event loop of its own, until the gate opens."""

    async def work():
        mark("in asyncio")
        gate = f"{os.environ['CWSGI_TEST_DIR']}/gate-asyncio"
        while not os.path.exists(gate):
            await asyncio.sleep(0.01)
        return "ran"

    return text(start_response, asyncio.run(work()))


@app.route("/loop")
def own_loop(environ, start_response):
    """With signal handling of asyncio's own, which takes CPython's pipe and gives it up."""

    async def work():
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, lambda: None)
        await asyncio.sleep(0)
        asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR2)
        return "ran"

    return text(start_response, asyncio.run(work()))


@app.route("/sleep")
def sleep(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"]))
    return text(start_response, "slept")


traced = []


def trace(frame, event, arg):
    if frame.f_code.co_name == "traced_function":
        traced.append(threading.current_thread().name)
    return None


def traced_function():
    return None


@app.route("/trace")
def set_trace(environ, start_response):
    """Debuggers and coverage: a function for all threads, set while they run already."""
    hook = trace if environ["QUERY_STRING"] == "on" else None
    threading.settrace(hook)
    threading.setprofile(hook)
    return text(start_response, "set")


@app.route("/traced")
def call_traced(environ, start_response):
    traced.clear()
    traced_function()
    return text(start_response, str(len(traced)))
