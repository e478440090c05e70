"""What runs before a worker listens and after its last request."""

import threading
import time

import cwsgi
import pytest
from client import SLOW
from cwsgi import _startup
from cwsgi._startup import StartupFailed, run, shutdown

LIMIT = 10 * SLOW


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """Each test registers on lists of its own."""
    for module in (cwsgi, _startup):
        for name, value in (("_startup_functions", start), ("_shutdown_functions", end)):
            monkeypatch.setattr(module, name, value)
    start.clear()
    end.clear()


start: list = []
end: list = []


def ok(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


# ---- on_startup ----


def test_nothing_registered():
    run()
    shutdown(1)


def test_one_runs_in_the_calling_thread():
    seen = []

    @cwsgi.on_startup
    def connect():
        seen.append(threading.current_thread())

    assert callable(connect)
    run()
    assert seen == [threading.current_thread()]


def test_several_run_at_once():
    barrier = threading.Barrier(3)
    done = []

    def step():
        barrier.wait(LIMIT)
        done.append(1)

    for _ in range(3):
        cwsgi.on_startup(step)
    run()
    assert done == [1, 1, 1]


def test_one_failure():
    def connect():
        raise ConnectionError("no database")

    cwsgi.on_startup(connect)
    with pytest.raises(StartupFailed) as caught:
        run()
    assert str(caught.value).startswith("on_startup function test_py_startup.")
    assert str(caught.value).endswith("connect failed: ConnectionError: no database")
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_several_failures(capfd):
    ran = []

    def first():
        raise ConnectionError("no database")

    def second():
        raise SystemExit

    for function in (first, lambda: ran.append(1), second):
        cwsgi.on_startup(function)
    with pytest.raises(StartupFailed, match="first failed: ConnectionError: no database; .*second"):
        run()
    assert ran == [1]
    log = capfd.readouterr().err
    assert "second failed\nTraceback (most recent call last):" in log
    assert log.endswith("SystemExit\n") and "ConnectionError" not in log


# ---- on_shutdown ----


def test_last_comes_first_and_failures_do_not_stop_it(capfd):
    done = []

    @cwsgi.on_shutdown
    def first():
        done.append("first")

    @cwsgi.on_shutdown
    def second():
        raise ValueError("second")

    @cwsgi.on_shutdown
    def third():
        done.append("third")
        raise SystemExit(1)

    shutdown(LIMIT)
    assert done == ["third", "first"]
    log = capfd.readouterr().err
    assert log.count("Exception in on_shutdown function test_py_startup.") == 2
    assert "ValueError: second\n" in log and "cwsgi/_startup.py" not in log


def test_time_that_requests_have_used_up():
    done = []
    cwsgi.on_shutdown(lambda: done.append(1))
    shutdown(-1)
    assert done == [1]


def test_what_does_not_end_is_left_behind(capfd, monkeypatch):
    monkeypatch.setattr(_startup, "LEAST", 0.05)
    gate, entered = threading.Event(), threading.Event()

    @cwsgi.on_shutdown
    def never_reached():
        pass

    @cwsgi.on_shutdown
    def stuck():
        entered.set()
        gate.wait(LIMIT)

    began = time.monotonic()
    try:
        shutdown(0)
        assert entered.is_set()
        assert time.monotonic() - began < LIMIT / 2
        log = capfd.readouterr().err
        assert "[WARNING] on_shutdown functions did not end in 0.05 s: " in log
        assert "stuck, " in log and "never_reached" in log
    finally:
        gate.set()
