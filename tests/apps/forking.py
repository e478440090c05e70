"""An app that forks: in requests, while it is imported, in start-up functions."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import cwsgi
from common import App, mark, text, wait_gate

app = App()
fork = multiprocessing.get_context("fork")
PLAIN = [("Content-Type", "text/plain")]
kept = []
MODE = os.environ.get("FORK_AT", "")
os.register_at_fork(after_in_child=lambda: mark("child hook", os.getpid()))


def square(n):
    return n * n


def forever():
    mark("child", os.getpid())
    while True:
        time.sleep(60)


def child_that(end):
    """A plain fork; what the child does then is its end."""
    pid = os.fork()
    if pid == 0:
        mark("child", os.getpid())
        if end == "raises":
            raise ValueError("from the child")
        if end == "exits":
            sys.exit(7)
        if end == "sleeps":
            wait_gate("child")
            os._exit(5)
        if end == "execs":
            os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)"])
        if end == "_exits":
            os._exit(3)
    return pid


def status_of(pid):
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


if MODE == "import":
    child_that("returns")
elif MODE == "import-process":
    kept.append(fork.Process(target=forever, daemon=True))
    kept[-1].start()
elif MODE == "startup":
    cwsgi.on_startup(lambda: child_that("returns") and None)


@app.route("/")
def hello(environ, start_response):
    return text(start_response, f"hello from {os.getpid()}")


@app.route("/pool")
def pool(environ, start_response):
    with fork.Pool(2) as workers:
        result = workers.map(square, range(5))
    return text(start_response, str(result))


@app.route("/terminate")
def terminate(environ, start_response):
    process = fork.Process(target=forever)
    process.start()
    process.terminate()
    process.join(20)
    return text(start_response, str(process.exitcode))


@app.route("/keep")
def keep(environ, start_response):
    """Leaves a child that outlives the request and the connection."""
    process = fork.Process(target=forever, daemon=True)
    process.start()
    kept.append(process)
    return text(start_response, str(process.pid))


@app.route("/executor")
def executor(environ, start_response):
    if not kept:
        kept.append(ProcessPoolExecutor(1, mp_context=fork))
    return text(start_response, str(kept[0].submit(square, 7).result(20)))


@app.route("/child")
def child(environ, start_response):
    """A child that leaves as the query says, and its exit status."""
    end = environ["QUERY_STRING"]
    pid = child_that(end)
    if pid == 0:
        return text(start_response, "from the child")
    return text(start_response, str(pid if end in ("sleeps", "execs") else status_of(pid)))


@app.route("/generator")
def generator(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"one "
    pid = os.fork()
    if pid:
        yield b"two %d" % status_of(pid)
    else:
        yield b"from the child"


@app.route("/write")
def write(environ, start_response):
    """The child tries all that has to do with the connection."""
    out = start_response("200 OK", PLAIN)
    pid = os.fork()
    if pid == 0:
        tries = (
            lambda: out(b"from the child"),
            environ["wsgi.input"].read,
            lambda: environ["wsgi.early_hints"]([("Link", "x")]),
        )
        raised = 0
        for attempt in tries:
            try:
                attempt()
            except OSError:
                raised += 1
        os._exit(raised)
    out(str(status_of(pid)).encode())
    return []


@app.route("/descriptors")
def descriptors(environ, start_response):
    """What a forked child holds that is a socket, an epoll or the like."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        names = []
        for fd in os.listdir("/proc/self/fd"):
            try:
                names.append(os.readlink(f"/proc/self/fd/{fd}"))
            except OSError:
                pass
        os.write(write, "\n".join(names).encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        names = file.read().decode()
    status_of(pid)
    return text(start_response, names)


@app.route("/handlers")
def handlers(environ, start_response):
    """What Python says of the signals, here and in a child."""

    def those():
        return " ".join(
            str(signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler))
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1)
        )

    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, those().encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        there = file.read().decode()
    status_of(pid)
    return text(start_response, f"{those()}|{there}")


@app.route("/subprocess")
def run_subprocess(environ, start_response):
    """A program that can be ended by a signal, with and without our descriptors."""
    codes = []
    for close_fds in (True, False):
        process = subprocess.Popen(["sleep", "60"], close_fds=close_fds)
        process.terminate()
        codes.append(process.wait(20))
    return text(start_response, str(codes))


@app.route("/thread-fork")
def thread_fork(environ, start_response):
    """A thread of the app's own forks, while others work."""
    found = []

    def work():
        with fork.Pool(1) as workers:
            found.append(workers.apply(square, (9,)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    return text(start_response, str(found))
