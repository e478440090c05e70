"""Workers that die, spawn children, or will not start again."""

import os
import signal
import subprocess
import sys
import time

from common import STATE, App, mark, text, wait_gate

mark("started", f"{os.getpid()} {time.monotonic()}")
if (STATE / "gate-broken").exists():
    os._exit(7)

app = App()
signal.signal(signal.SIGSEGV, signal.SIG_DFL)


@app.route("/pid")
def pid(environ, start_response):
    return text(start_response, str(os.getpid()))


@app.route("/exit")
def leave(environ, start_response):
    os._exit(9)


@app.route("/crash")
def crash(environ, start_response):
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(10)


@app.route("/abort")
def abort(environ, start_response):
    os.abort()


@app.route("/wait")
def wait(environ, start_response):
    mark("waiting", environ["QUERY_STRING"])
    wait_gate(environ["QUERY_STRING"])
    return text(start_response, "waited")


@app.route("/block")
def block(environ, start_response):
    mark("blocking")
    while True:
        time.sleep(3600)


@app.route("/spin")
def spin(environ, start_response):
    """In C code that never lets go of the GIL: no Python thread, no signal handler runs."""
    mark("blocking")
    return text(start_response, str(sum(range(100_000_000_000))))


@app.route("/stream")
def stream(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first;"
    mark("waiting")
    wait_gate("stream")
    yield b"second;"


@app.route("/orphan")
def orphan(environ, start_response):
    """Leaves a grandchild behind that ends when the gate opens; answers with its pid."""
    code = "import os, sys, time\nif os.fork():\n os._exit(0)\nprint(os.getpid(), flush=True)\n"
    code += "while not os.path.exists(sys.argv[1]):\n time.sleep(0.01)\n"
    gate = str(STATE / "gate-orphan")
    child = subprocess.Popen([sys.executable, "-S", "-c", code, gate], stdout=subprocess.PIPE)
    pid = child.stdout.readline()
    child.wait()
    child.stdout.close()
    return text(start_response, pid.strip())


@app.route("/subprocess")
def subprocesses(environ, start_response):
    """The app's own children are the app's: their status is not taken away from it."""
    codes = [
        subprocess.run([sys.executable, "-S", "-c", f"raise SystemExit({n})"]) for n in range(3)
    ]
    return text(start_response, str([done.returncode for done in codes]))


@app.route("/signals")
def signals(environ, start_response):
    """Which signals a child of the app finds blocked or ignored."""
    lines = subprocess.check_output(["cat", "/proc/self/status"], text=True).splitlines()
    masks = [line for line in lines if line.startswith(("SigBlk", "SigIgn"))]
    return text(start_response, "\n".join(masks))
