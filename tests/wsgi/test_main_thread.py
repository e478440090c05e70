"""The main thread and signals: handlers of the app run there, requests elsewhere (with more
than one thread), and nothing that an app does about signals keeps a worker from its end."""

import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from client import SLOW, request, wait_for

THREADS = pytest.mark.parametrize("threads", [1, 8])
STOPS = {"SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT, "SIGQUIT": signal.SIGQUIT}


@THREADS
@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR2", "SIGALRM", "SIGWINCH", "SIGUSR1"])
def test_a_handler_runs_in_an_idle_worker(serve, threads, name):
    """Within a moment, without a request to help it."""
    server = serve("signalling:app", threads=threads, env={"HANDLE": name})
    assert server.get("/").status == 200
    for count in range(1, 4):
        server.worker().send_signal(getattr(signal, name))
        server.wait_marks("handled", count)
    assert server.marks("handled") == [name] * 3
    assert set(server.marks("on main")) == {"True"}


@THREADS
def test_a_handler_runs_in_a_worker_that_never_had_a_request(serve, threads):
    server = serve("signalling:app", threads=threads, env={"HANDLE": "SIGHUP"})
    server.worker().send_signal(signal.SIGHUP)
    server.wait_marks("handled")


@pytest.mark.parametrize("path", ["/wait", "/busy"])
def test_a_handler_runs_beside_busy_threads(serve, path):
    server = serve("signalling:app", threads=2, env={"HANDLE": "SIGHUP"})
    clients = [server.connect() for _ in range(2)]
    for client in clients:
        client.send(request(path))
    server.wait_marks(path.strip("/").replace("wait", "waiting"), 2)
    server.worker().send_signal(signal.SIGHUP)
    server.wait_marks("handled")
    server.open_gate(path.strip("/"))
    for client in clients:
        assert client.response().status == 200


def test_the_timer_of_a_request(serve):
    """setitimer() in a thread; its handler runs on the main one, with no request to come."""
    for threads in (1, 8):
        server = serve("signalling:app", threads=threads, env={"HANDLE": "SIGALRM"})
        assert server.get("/alarm").body == b"set"
        assert server.wait_marks("on main") == ["True"]


def test_a_handler_that_raises_ends_no_request(serve):
    env = {"HANDLE": "SIGHUP", "HANDLER_RAISES": "ValueError"}
    server = serve("signalling:app", threads=2, env=env)
    with server.connect() as client:
        client.send(request("/busy"))
        server.wait_marks("busy")
        server.worker().send_signal(signal.SIGHUP)
        server.wait_log("ValueError: from a signal handler")
        server.open_gate("busy")
        assert client.response().body == b"done"


@THREADS
def test_a_handler_that_exits_ends_its_worker(serve, threads):
    """As TERM would: another one takes its place."""
    env = {"HANDLE": "SIGHUP", "HANDLER_RAISES": "SystemExit"}
    server = serve("signalling:app", threads=threads, env=env)
    first = server.worker().pid
    server.wait_log("Listening at")  # before, its end would be the start's
    server.worker().send_signal(signal.SIGHUP)
    wait_for(
        lambda: [p.pid for p in server.workers()] not in ([], [first]), "another worker", step=0.05
    )
    wait_for(lambda: server.get("/").status == 200, "an answer")


@THREADS
@pytest.mark.parametrize("chain", ["", "1"])
@pytest.mark.parametrize("name", STOPS)
def test_the_worker_stops_whatever_the_app_handles(serve, threads, name, chain):
    """Its handler runs, and the request under way is answered."""
    env = {"HANDLE": name, "CHAIN": chain}
    server = serve("signalling:app", "--graceful-timeout", "30", threads=threads, env=env)
    with server.connect() as client:
        client.send(request("/sleep?0.3"))
        wait_for(lambda: server.worker().num_threads() > 1 or threads == 1, "its threads")
        time.sleep(0.1)  # most of what it sleeps is to come; neither order is an error
        began = time.monotonic()
        server.send_signal(STOPS[name])
        assert client.response().body == b"slept"
        assert server.wait_exit() == 0
    assert time.monotonic() - began < 5 * SLOW
    handled = "SIGQUIT" if name != "SIGTERM" else name
    if handled == name:
        assert name in server.marks("handled")
    assert "did not stop in time" not in server.log()
    assert "killed" not in server.log()


def test_an_app_that_ignores_term_is_stopped(serve):
    app = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nfrom hello import app\n"
    assert stop_of(serve, app) < 5 * SLOW


def test_an_app_that_gives_term_back_is_stopped_without_loss(serve):
    """Its default would kill the worker with its requests."""
    app = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_DFL)\nfrom signalling import app"
    assert stop_of(serve, app, "/sleep?0.5", b"slept") < 5 * SLOW


def test_an_app_that_blocks_signals_is_stopped(serve):
    app = (
        "import signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        "from hello import app\n"
    )
    assert stop_of(serve, app) < 5 * SLOW


def stop_of(serve, source, path="/", answer=None):
    from server import APPS

    folder = serve.folder / "app"
    folder.mkdir()
    (folder / "main.py").write_text(source)
    server = serve("main:app", "--pythonpath", APPS, chdir=folder)
    with server.connect() as client:
        client.send(request(path))
        if answer is None:
            assert client.response().status == 200
        else:
            wait_for(lambda: server.worker().num_threads() > 2, "the request's thread")
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        if answer is not None:
            assert client.response().body == answer
        assert server.wait_exit() == 0
    return time.monotonic() - began


@THREADS
def test_logs_are_reopened_whatever_the_app_handles(serve, tmp_path, threads):
    access = tmp_path / "access.log"
    env = {"HANDLE": "SIGUSR1"}
    server = serve("signalling:app", "--access-logfile", access, threads=threads, env=env)
    assert server.get("/?1").status == 200
    wait_for(lambda: "?1" in access.read_text(), "the line")
    access.rename(tmp_path / "old.log")
    server.send_signal(signal.SIGUSR1)
    server.wait_marks("handled")
    wait_for(access.exists, "the new log")
    assert server.get("/?2").status == 200
    wait_for(lambda: "?2" in access.read_text(), "the line in the new log")


def test_faulthandler_keeps_its_signal(serve):
    server = serve("signalling:app", env={"FAULTHANDLER": "1"})
    server.send_signal(signal.SIGUSR1)
    server.wait_log("most recent call first")
    assert server.get("/").status == 200


def test_what_import_made_behaves_alike_in_every_request(serve):
    """The first request is like every later one: none runs on the thread that imported."""
    server = serve("signalling:app", threads=3)
    answers = set()
    for _ in range(5):
        clients = [server.connect() for _ in range(3)]
        for client in clients:
            client.send(request("/thread"))
        answers |= {re.sub(rb"cwsgi-app-[123] ", b"", c.response().body) for c in clients}
        for client in clients:
            client.close()
    assert answers == {b"False False refuses none"}


def test_with_one_thread_requests_run_where_the_app_was_imported(serve):
    server = serve("signalling:app", threads=1)
    for _ in range(3):
        assert server.get("/thread").body == b"True True MainThread works import"


def test_threads_have_names(serve):
    """In log records, too."""
    server = serve("signalling:app", threads=2)
    assert re.fullmatch(rb"cwsgi-app-[12]", server.get("/log").body)


def test_threading_may_be_imported_by_a_request(serve, door):
    """It is not imported for our sake; whoever does it is not taken for the main thread."""
    server = serve("bare:app", env={"CWSGI_INTERPRETER": door})
    assert server.get("/imported").body == b"False"
    server.get("/")

    answers = []

    def settled():
        answers.append(server.get("/").body)
        return re.fullmatch(rb"False cwsgi-app-[0-9] False", answers[-1])

    wait_for(settled, lambda: f"the right names: {set(answers)}")
    server.stop()
    assert "Exception ignored" not in server.log()


@THREADS
def test_hooks_for_all_threads_reach_those_that_run(serve, threads):
    server = serve("signalling:app", threads=threads)
    assert server.get("/traced").body == b"0"
    assert server.get("/trace?on").status == 200
    if threads > 1:
        wait_for(lambda: server.get("/traced").body != b"0", "the trace function to be called")
        server.get("/trace?off")
    assert server.get("/traced").body == b"0"


def test_ctrl_c_while_a_request_runs_asyncio(serve):
    """asyncio.run() takes SIGINT from Python's own handler only."""
    for threads in (1, 8):
        server = serve("signalling:app", threads=threads)
        with server.connect() as client:
            client.send(request("/asyncio"))
            server.wait_marks("in asyncio")
            began = time.monotonic()
            for process in [*server.workers(), server.proc]:
                process.send_signal(signal.SIGINT)
            server.open_gate("asyncio")
            assert client.response().body == b"ran"
            assert server.wait_exit() == 0
        assert time.monotonic() - began < 5 * SLOW
        assert "KeyboardInterrupt" not in server.log()


def test_handlers_run_after_an_event_loop_had_the_pipe(serve):
    """add_signal_handler() of asyncio takes CPython's wake-up descriptor, and leaves none."""
    server = serve("signalling:app", threads=1, env={"HANDLE": "SIGHUP"})
    assert server.get("/loop").body == b"ran"
    assert server.get("/").status == 200
    server.worker().send_signal(signal.SIGHUP)
    server.wait_marks("handled")


def test_the_supervisor_is_gone(serve):
    """A worker whose app has a handler for TERM ends all the same."""
    server = serve("signalling:app", env={"HANDLE": "SIGTERM"})
    worker = server.worker()
    server.expected_exit = {-signal.SIGKILL}
    server.send_signal(signal.SIGKILL)

    def has_ended():
        try:
            return worker.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    wait_for(has_ended, "the worker's end")


@pytest.mark.parametrize("threads", [1, 2])
def test_gevent_is_warned_of(serve, threads):
    pytest.importorskip("gevent")
    folder = serve.folder / "app"
    folder.mkdir()
    (folder / "main.py").write_text(
        "from gevent import monkey\nmonkey.patch_all()\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n    return [b'patched']\n"
    )
    server = serve("main:app", chdir=folder, threads=threads)
    assert server.get("/").body == b"patched"
    assert server.log().count("gevent has patched") == (1 if threads > 1 else 0)


def test_coverage_sees_handlers(tmp_path):
    """The real tool, with the real server: lines of handlers in all threads."""
    (tmp_path / "main.py").write_text(
        "import atexit, coverage\n"
        "cov = coverage.Coverage(data_file='.cov', concurrency='thread')\n"
        "cov.start()\n"
        "import handlers\n"
        "app = handlers.app\n"
        "def save():\n    cov.stop()\n    cov.save()\n"
        "atexit.register(save)\n"
    )
    (tmp_path / "handlers.py").write_text(
        "import time\n"
        "def app(environ, start_response):\n"
        "    time.sleep(0.05)\n"
        "    start_response('200 OK', [])\n"
        "    return [b'covered']\n"
    )
    from server import Server

    server = Server(tmp_path / "server", "main:app", chdir=tmp_path, threads=4)
    try:
        clients = [server.connect() for _ in range(4)]
        for client in clients:
            client.send(request("/"))
        assert [client.response().body for client in clients] == [b"covered"] * 4
    finally:
        server.finish()
    report = subprocess.run(
        [sys.executable, "-m", "coverage", "report", "--data-file=.cov", "--include=handlers.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "COVERAGE_FILE": ".cov"},
    )
    assert re.search(r"handlers.py\s+5\s+0\s+100%", report.stdout), report.stdout + report.stderr
