"""An app whose import, start-up and end do what apps should not, as variables ask."""

import os
import subprocess
import sys
import threading
import time
import traceback

import cwsgi
from common import STATE, App, answer_json, mark, query, text, wait_gate

ASKED = os.environ.get("EDGES", "").split(",")
app = App()
mark("imported", os.getpid())

if (STATE / "exit-at-import").exists():
    os._exit(0)
if "slow-fork" in ASKED:
    # Runs in the preloading process before it tells whom it has forked.
    os.register_at_fork(after_in_parent=lambda: time.sleep(0.5))
if "thread" in ASKED:
    # Not a daemon: Python waits for it at its end.
    threading.Thread(target=wait_gate, args=("thread",), name="for-ever").start()
if "descriptors" in ASKED:
    code = "import os; print(*sorted(os.listdir('/proc/self/fd'), key=int))"
    seen = subprocess.run(
        [sys.executable, "-ISc", code], close_fds=False, stdout=subprocess.PIPE, text=True
    )
    mark("descriptors", seen.stdout.strip())


@cwsgi.on_startup
def start():
    if (STATE / "startup-fails").exists():
        raise RuntimeError("start-up goes wrong")


@app.route("/who")
def who(environ, start_response):
    return answer_json(start_response, {"pid": os.getpid()})


@app.route("/environ")
def variables(environ, start_response):
    return answer_json(start_response, dict(os.environ))


@app.route("/wait")
def wait(environ, start_response):
    mark("waiting", os.getpid())
    wait_gate("wait")
    return text(start_response, "waited")


# ---- --request-timeout ----


@app.route("/slow-report")
def slow_report(environ, start_response):
    """Runs beyond its time, and ends while its stack is being written."""
    format_stack = traceback.format_stack

    def formatted(*args):
        mark("formatting")
        wait_gate("formatted")
        return format_stack(*args)

    traceback.format_stack = formatted
    wait_gate("end")
    return text(start_response, "too late")


@app.route("/next")
def following(environ, start_response):
    mark("next")
    wait_gate("next")
    for _ in range(1000):
        pass
    return text(start_response, "not to be disturbed")


class Closed(list):
    """Iterated in C, closed in Python."""

    def close(self):
        mark("closed")


@app.route("/closed")
def closed(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Closed([b"x" * int(query(environ)["n"]) for _ in range(4)])
