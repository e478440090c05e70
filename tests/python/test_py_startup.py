"""What runs before a worker listens and after its last request."""

import sys
import threading
import time
from wsgiref.validate import validator

import cwsgi
import pytest
from client import SLOW
from cwsgi import _startup
from cwsgi._startup import StartupFailed, prepare, shutdown

LIMIT = 10 * SLOW
TEMPLATE = {
    "REQUEST_METHOD": "POST",
    "SCRIPT_NAME": "",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "8080",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "127.0.0.1:8080",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": None,
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


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
    prepare(ok, [], TEMPLATE)
    shutdown(1)


def test_one_runs_in_the_calling_thread():
    seen = []

    @cwsgi.on_startup
    def connect():
        seen.append(threading.current_thread())

    assert callable(connect)
    prepare(ok, [], TEMPLATE)
    assert seen == [threading.current_thread()]


def test_several_run_at_once():
    barrier = threading.Barrier(3)
    done = []

    def step():
        barrier.wait(LIMIT)
        done.append(1)

    for _ in range(3):
        cwsgi.on_startup(step)
    prepare(ok, [], TEMPLATE)
    assert done == [1, 1, 1]


def test_one_failure():
    def connect():
        raise ConnectionError("no database")

    cwsgi.on_startup(connect)
    with pytest.raises(StartupFailed) as caught:
        prepare(ok, [], TEMPLATE)
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
        prepare(ok, ["/never"], TEMPLATE)
    assert ran == [1]
    log = capfd.readouterr().err
    assert "second failed\nTraceback (most recent call last):" in log
    assert log.endswith("SystemExit\n") and "ConnectionError" not in log


# ---- warm-up ----


class Recorder:
    """An app that keeps the environ of each request and answers `status`."""

    def __init__(self, status="200 OK"):
        self.status = status
        self.requests = []
        self.closed = 0

    def __call__(self, environ, start_response):
        self.requests.append(environ)
        write = start_response(self.status, [("Content-Type", "text/plain")])
        write(b"first")
        return self

    def __iter__(self):
        yield b"second"

    def close(self):
        self.closed += 1


def test_requests(capfd):
    app = Recorder()
    prepare(app, ["/", "/a%20b/%C3%A9%zz?x=%20&y", "/no?"], TEMPLATE)
    first, second, third = app.requests
    assert first["REQUEST_METHOD"] == "GET"
    assert (first["PATH_INFO"], first["QUERY_STRING"], first["RAW_URI"]) == ("/", "", "/")
    assert first["REQUEST_URI"] == "/"
    assert second["PATH_INFO"] == "/a b/\xc3\xa9%zz"
    assert second["QUERY_STRING"] == "x=%20&y"
    assert second["RAW_URI"] == "/a%20b/%C3%A9%zz?x=%20&y"
    assert third["QUERY_STRING"] == ""
    assert first["HTTP_HOST"] == TEMPLATE["HTTP_HOST"]
    assert first["wsgi.input"].read() == b""
    assert first is not TEMPLATE and TEMPLATE["REQUEST_METHOD"] == "POST"
    assert app.closed == 3
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "[INFO] warm-up of / answered 200 OK in " in lines[0]


def test_path_that_is_not_ascii():
    app = Recorder()
    prepare(app, ["/é"], TEMPLATE)
    assert app.requests[0]["PATH_INFO"] == "/\xc3\xa9"


def split(app):
    return [(request["SCRIPT_NAME"], request["PATH_INFO"]) for request in app.requests]


def test_script_name(monkeypatch):
    monkeypatch.setenv("SCRIPT_NAME", "/api")
    app = Recorder()
    prepare(app, ["/api/x", "/api", "/apix"], TEMPLATE)
    assert split(app) == [("/api", "/x"), ("/api", ""), ("", "/apix")]


def test_mounts():
    """The longest prefix has the app, as for requests."""
    main, outer, inner = Recorder(), Recorder(), Recorder()
    mounts = [("/a", outer), ("/a/b", inner)]
    prepare(main, ["/", "/a/x?y", "/a/b", "/a/b/c%20d", "/ab"], TEMPLATE, mounts)
    assert split(main) == [("", "/"), ("", "/ab")]
    assert split(outer) == [("/a", "/x")]
    assert split(inner) == [("/a/b", ""), ("/a/b", "/c d")]
    assert inner.requests[1]["RAW_URI"] == "/a/b/c%20d"


def test_template_with_holes():
    """The server's own has None where each request has something of its own."""
    app = Recorder()
    holes = dict.fromkeys(("HTTP_HOST", "REMOTE_ADDR", "SERVER_NAME", "wsgi.early_hints"))
    prepare(validator(app), ["/"], {**TEMPLATE, **holes, "wsgi.errors": sys.stderr})
    (environ,) = app.requests
    assert environ["HTTP_HOST"] == environ["SERVER_NAME"] == "localhost"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    environ["wsgi.early_hints"]([])
    assert None not in environ.values()


def test_error_status_that_is_no_servers_fault(capfd):
    prepare(Recorder("404 Not Found"), ["/x"], TEMPLATE)
    assert "warm-up of /x answered 404 Not Found in " in capfd.readouterr().err


def test_server_error():
    app = Recorder("503 Service Unavailable")
    with pytest.raises(StartupFailed, match=r"^warm-up of /x answered 503 Service Unavailable$"):
        prepare(app, ["/x", "/y"], TEMPLATE)
    assert len(app.requests) == app.closed == 1


def test_exception():
    def app(environ, start_response):
        raise KeyError("k")

    with pytest.raises(StartupFailed, match="warm-up of /x failed: KeyError: 'k'") as caught:
        prepare(app, ["/x"], TEMPLATE)
    assert isinstance(caught.value.__cause__, KeyError)


def test_exception_in_iteration_closes():
    class App(Recorder):
        def __iter__(self):
            yield b"a"
            raise OSError("torn")

    app = App()
    with pytest.raises(StartupFailed, match="warm-up of / failed: OSError: torn"):
        prepare(app, ["/"], TEMPLATE)
    assert app.closed == 1


@pytest.mark.parametrize(
    "app, words",
    [
        (lambda e, s: [b"x"], "before start_response"),
        (lambda e, s: [], "did not call start_response"),
        (lambda e, s: [s("200 OK", []), s("200 OK", [])], "twice"),
        (lambda e, s: None, "TypeError"),
    ],
)
def test_broken_protocol(app, words):
    with pytest.raises(StartupFailed, match=words):
        prepare(app, ["/"], TEMPLATE)


def test_exc_info():
    """Before the first byte a second start_response replaces the status; after it, it raises."""

    def early(environ, start_response):
        start_response("200 OK", [])
        try:
            raise ValueError("early")
        except ValueError as error:
            start_response("500 Oops", [], (type(error), error, error.__traceback__))
        return []

    def late(environ, start_response):
        start_response("200 OK", [])(b"sent")
        try:
            raise ValueError("late")
        except ValueError as error:
            start_response("500 Oops", [], (type(error), error, error.__traceback__))
        return []

    with pytest.raises(StartupFailed, match="answered 500 Oops"):
        prepare(early, ["/"], TEMPLATE)
    with pytest.raises(StartupFailed, match="failed: ValueError: late"):
        prepare(late, ["/"], TEMPLATE)


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
