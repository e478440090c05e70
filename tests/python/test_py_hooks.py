"""The hooks of a worker, called as the worker calls them."""

import io
import os
import re
import sys
import types
import warnings

import pytest
from cwsgi._error_log import Log
from cwsgi._hooks import Request, WorkerHooks

ENVIRON = {
    "REQUEST_METHOD": "POST",
    "RAW_URI": "/a%20b/c?x=1&y=%2F",
    "PATH_INFO": "/a b/c",
    "QUERY_STRING": "x=1&y=%2F",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "10.1.2.3",
    "REMOTE_PORT": "4567",
    "CONTENT_TYPE": "text/plain",
    "CONTENT_LENGTH": "3",
    "HTTP_HOST": "here",
    "HTTP_X_REQUEST_ID": "7",
    "wsgi.url_scheme": "https",
    "wsgi.input": io.BytesIO(b"abc"),
}
LINE = re.compile(
    r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] "
    rf"\[{os.getpid()}\] \[([A-Z0-9 ]+)\] (.*)"
)


def app(environ, start_response):
    raise AssertionError("not called")


@pytest.fixture
def hooks(tmp_path):
    """Makes the hooks of a file with this source. What they append to `calls` is in .calls."""

    def make(source, *entries):
        path = tmp_path / "hooks.py"
        path.write_text("calls = []\n" + source)
        names = re.findall(r"^def (\w+)", source, re.M)
        made = WorkerHooks(str(path), names, ["workers=3", "timeout=30.000", *entries])
        made.calls = made.server.cfg.post_fork.__globals__["calls"] if "post_fork" in names else []
        return made

    return make


def logged(capfd):
    return capfd.readouterr().err


def test_order_and_arguments(hooks, capfd):
    made = hooks(
        "def post_fork(server, worker):\n"
        "    calls.append((worker.age, worker.pid, worker.ppid, server.pid, server.num_workers,\n"
        "                  worker.wsgi, server.cfg.timeout, worker.alive, worker.timeout))\n"
        "    assert server.WORKERS == {worker.pid: worker}\n"
        "    server.log.info('spawned %s', worker)\n"
        "def post_worker_init(worker):\n"
        "    calls.append((worker.app.wsgi(), worker.app.callable, worker.wsgi))\n"
        "def worker_int(worker): calls.append(('int', worker.alive))\n"
        "def worker_abort(worker): calls.append(('abort', worker.aborted))\n"
        "def worker_exit(server, worker): calls.append(('exit', worker.nr))\n"
        "def on_starting(server): calls.append('never here')\n"
    )
    pid, ppid = os.getpid(), os.getppid()
    with pytest.raises(RuntimeError, match="not imported"):
        made.worker.app.wsgi()
    made.post_fork(5)
    assert made.calls.pop() == (5, pid, ppid, ppid, 3, None, 30, True, 30)
    assert LINE.fullmatch(logged(capfd).strip()).groups() == ("INFO", f"spawned <Worker {pid}>")
    made.post_worker_init(app)
    assert made.calls.pop() == (app, app, app)
    made.worker_int()
    made.worker_abort()
    made.worker_exit()
    assert made.calls == [("int", False), ("abort", True), ("exit", 0)]
    assert logged(capfd) == ""


def test_ppid_where_the_zygote_is_the_parent(hooks):
    made = hooks("def post_fork(server, worker): calls.append((server.pid, worker.ppid))\n")
    made.set_app(app)
    made.post_fork(1, 4321)
    assert made.calls == [(4321, 4321)]


def test_hooks_that_are_not_defined(hooks, capfd):
    made = hooks("")
    made.post_fork(1)
    made.post_worker_init(app)
    req = made.pre_request(dict(ENVIRON))
    made.post_request(req, ENVIRON, "200 OK", [])
    made.worker_int()
    made.worker_abort()
    made.worker_exit()
    assert made.worker.nr == 1
    assert logged(capfd) == ""


def test_failure_at_the_start_ends_it(hooks):
    made = hooks(
        "def post_fork(server, worker): 1 / 0\ndef post_worker_init(worker): raise SystemExit(3)\n"
    )
    with pytest.raises(ZeroDivisionError):
        made.post_fork(1)
    with pytest.raises(SystemExit):
        made.post_worker_init(app)


@pytest.mark.parametrize(
    "name, parameters",
    [
        ("worker_int", "worker"),
        ("worker_abort", "worker"),
        ("worker_exit", "server, worker"),
        ("pre_request", "worker, req"),
        ("post_request", "worker, req, environ, resp"),
    ],
)
def test_failure_later_is_logged(hooks, capfd, name, parameters):
    made = hooks(f"def {name}({parameters}):\n    raise SystemExit('out')\n")
    arguments = {
        "pre_request": [dict(ENVIRON)],
        "post_request": [Request(ENVIRON), ENVIRON, "200 OK", []],
    }.get(name, [])
    getattr(made, name)(*arguments)
    lines = logged(capfd).splitlines()
    assert LINE.fullmatch(lines[0]).groups() == ("ERROR", f"Exception in {name} hook")
    assert lines[1] == "Traceback (most recent call last):"
    assert f'hooks.py", line 3, in {name}' in lines[2]
    assert lines[-1] == "SystemExit: out"


def test_a_failure_is_logged_where_warnings_are_errors(hooks, capfd):
    made = hooks("def worker_int(worker):\n    raise SystemExit('out')\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.worker_int()
    assert logged(capfd).splitlines()[-3:] == [
        f'  File "{made.server.cfg.worker_int.__code__.co_filename}", line 3, in worker_int',
        "    raise SystemExit('out')",
        "SystemExit: out",
    ]


def test_request_attributes(hooks):
    made = hooks(
        "def post_fork(s, w): pass\n"
        "def pre_request(worker, req):\n"
        "    req.mine = 1\n"
        "    calls.append((worker.nr, req.method, req.uri, req.path, req.query, req.fragment,\n"
        "                  req.version, req.remote_addr, req.peer_addr, req.scheme,\n"
        "                  sorted(req.headers), req.body.read()))\n"
    )
    req = made.pre_request(dict(ENVIRON))
    peer = ("10.1.2.3", 4567)
    headers = [
        ("CONTENT-LENGTH", "3"),
        ("CONTENT-TYPE", "text/plain"),
        ("HOST", "here"),
        ("X-REQUEST-ID", "7"),
    ]
    target = ("/a%20b/c?x=1&y=%2F", "/a%20b/c", "x=1&y=%2F", "")
    assert made.calls == [
        (1, "POST", *target, (1, 1), peer, peer, "https", headers, b"abc"),
    ]
    assert req.mine == 1


@pytest.mark.parametrize(
    "target, path",
    [
        ("http://host:80/a/b?c", "/a/b"),
        ("http://host", ""),
        ("*", "*"),
        ("/a?b=http://c", "/a"),
        ("/", "/"),
        ("//a", "//a"),
    ],
)
def test_path_of_target(target, path):
    assert Request({**ENVIRON, "RAW_URI": target}).path == path


def test_peer_that_is_not_known_in_full():
    """On a Unix socket there is none, and a proxy may leave the port out."""
    assert Request({**ENVIRON, "REMOTE_ADDR": "", "REMOTE_PORT": ""}).remote_addr == ""
    assert Request({**ENVIRON, "REMOTE_PORT": ""}).remote_addr == ("10.1.2.3", 0)


def test_changed_headers_reach_the_app(hooks):
    made = hooks(
        "def pre_request(worker, req):\n"
        "    req.headers = [pair for pair in req.headers if pair[0] != 'HOST']\n"
        "    req.headers += [('x-new', 'a'), ('X-New', 'b'), ('CONTENT-TYPE', 'text/css')]\n"
        "    req.headers.remove(('CONTENT-TYPE', 'text/plain'))\n"
    )
    environ = dict(ENVIRON)
    made.pre_request(environ)
    assert "HTTP_HOST" not in environ
    assert environ["HTTP_X_NEW"] == "a,b"
    assert environ["CONTENT_TYPE"] == "text/css"
    assert environ["HTTP_X_REQUEST_ID"] == "7"


def test_headers_keep_what_the_app_did_not_see(hooks):
    """The app's own changes to environ are not the client's headers."""
    req = hooks("").pre_request(environ := dict(ENVIRON))
    environ["HTTP_HOST"] = "changed"
    assert ("HOST", "here") in req.headers


@pytest.mark.parametrize(
    "set_path, prefix, expected",
    [
        ("/a%2Fb", "", ("", "/a/b")),
        ("/app/x", "/app", ("/app", "/x")),
        ("/app", "/app", ("/app", "")),
        ("/apple", "/app", ("", "/apple")),
    ],
)
def test_a_changed_path_keeps_its_prefix(hooks, set_path, prefix, expected):
    made = hooks(f"def pre_request(worker, req): req.path = {set_path!r}\n")
    environ = {**ENVIRON, "SCRIPT_NAME": prefix}
    made.pre_request(environ)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == expected


def test_everything_that_can_be_set(hooks):
    made = hooks(
        "def pre_request(worker, req):\n"
        "    req.method, req.query, req.scheme, req.uri = 'PUT', 'q', 'https', '/u'\n"
        "    req.version, req.body, req.remote_addr, req.other = (1, 0), 'in', ('x', 1), 2\n"
    )
    environ = dict(ENVIRON)
    req = made.pre_request(environ)
    names = ["REQUEST_METHOD", "QUERY_STRING", "wsgi.url_scheme", "RAW_URI", "SERVER_PROTOCOL"]
    assert [environ[name] for name in names] == ["PUT", "q", "https", "/u", "HTTP/1.0"]
    assert environ["wsgi.input"] == "in" and environ["REQUEST_URI"] == "/u"
    assert (req.remote_addr, req.other) == (("x", 1), 2)


def test_nonsense_headers_are_logged(hooks, capfd):
    made = hooks("def pre_request(worker, req): req.headers.append(5)\n")
    made.pre_request(dict(ENVIRON))
    assert "The pre_request hook left a request that cannot be used" in logged(capfd)


@pytest.mark.parametrize("parameters", [2, 3, 4])
def test_post_request_of_every_age(hooks, parameters):
    names = ", ".join(["worker", "req", "environ", "resp"][:parameters])
    made = hooks(
        "def post_fork(s, w): pass\n"
        f"def post_request({names}): calls.append(list(locals().values()))\n"
    )
    req = made.pre_request(environ := dict(ENVIRON))
    made.post_request(req, environ, "404 Not Found", [("A", "b")])
    (call,) = made.calls
    assert call[:3] == [made.worker, req, environ][:parameters]
    if parameters == 4:
        resp = call[3]
        assert (resp.status, resp.status_code, resp.headers) == ("404 Not Found", 404, [("A", "b")])
        assert resp.headers_sent


def test_post_request_without_a_response(hooks):
    made = hooks(
        "def post_fork(s, w): pass\ndef post_request(w, req, e, resp): calls.append((req, resp))\n"
    )
    made.post_request(None, dict(ENVIRON), None, None)
    ((req, resp),) = made.calls
    assert req.method == "POST"
    assert (resp.status, resp.status_code, resp.headers, resp.headers_sent) == (
        None,
        None,
        [],
        False,
    )


# ---- worker.log ----


@pytest.mark.parametrize(
    "call, line",
    [
        (lambda log: log.warning("%s and %d", "a", 5), "WARNING] a and 5"),
        (lambda log: log.info("100%"), "INFO] 100%"),
        (lambda log: log.error("%(x)s", {"x": 1}), "ERROR] 1"),
        (lambda log: log.critical(ValueError("v")), "CRITICAL] v"),
        (lambda log: log.log(30, "x"), "WARNING] x"),
        (lambda log: log.log("error", "x"), "ERROR] x"),
        (lambda log: log.log(35, "x"), "WARNING] x"),
        (lambda log: log.info("%d", "no"), "INFO] %d ('no',) (TypeError:"),
        (lambda log: log.info("kw", extra={"a": 1}, stacklevel=2), "INFO] kw"),
    ],
)
def test_log(capfd, call, line):
    call(Log("info"))
    written = logged(capfd)
    assert line in written and LINE.match(written)


def test_log_below_the_level_says_nothing(capfd):
    log = Log("warning")
    log.debug("a")
    log.info("b")
    log.access("resp", "req", "environ", 5)
    log.reopen_files()
    assert logged(capfd) == ""
    assert log.isEnabledFor(30) and not log.isEnabledFor(20)


def test_log_exception(capfd):
    log = Log()
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError as error:
        kept = error
        log.exception("oh %s", "no")
    for info in (kept, (type(kept), kept, kept.__traceback__)):
        log.warning("again", exc_info=info)
    written = logged(capfd)
    assert written.count("ZeroDivisionError: division by zero") == 3
    assert "[ERROR] oh no\nTraceback (most recent call last):\n" in written


def test_log_in_a_worker(monkeypatch, capfd):
    """It is the extension that writes: to the file, to syslog, and counted."""
    core, written = types.ModuleType("cwsgi._core"), []
    core._log = lambda level, text: written.append((level, text))
    monkeypatch.setitem(sys.modules, "cwsgi._core", core)
    log = Log("info")
    log.debug("not this")
    log.info("%s\nsecond\n", "first")
    log.log(5, "below all")
    log.critical("a\0b \udcff")
    log.warning("x" * 4000)
    try:
        raise KeyError("k")
    except KeyError:
        log.exception("oh")
    assert logged(capfd) == ""
    assert written[:2] == [("info", "first\nsecond"), ("critical", "a\\0b \\udcff")]
    assert written[2][1].splitlines() == ["x" * 1500, "x" * 2500]
    level, text = written[3]
    assert level == "error" and text.startswith("oh\nTraceback (most recent call last):\n")
    assert text.endswith("\nKeyError: 'k'")


def test_log_in_a_file(tmp_path, capfd, monkeypatch):
    """Outside of workers; the file may be renamed at any time."""
    # Another test may have loaded what only workers have.
    monkeypatch.delitem(sys.modules, "cwsgi._core", raising=False)
    path = tmp_path / "error.log"
    log = Log("info", str(path))
    log.info("one")
    path.rename(tmp_path / "error.log.1")
    log.info("two")
    Log("info", str(tmp_path / "no" / "such")).info("three")
    assert path.read_text().endswith("[INFO] two\n")
    assert logged(capfd).endswith("[INFO] three\n")


def test_log_survives_a_closed_standard_error(monkeypatch):
    monkeypatch.delitem(sys.modules, "cwsgi._core", raising=False)
    saved = os.dup(2)
    try:
        os.close(2)
        Log().error("to nobody")
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def test_loggers_of_gunicorn():
    assert Log().error_log.name == "gunicorn.error"
    assert Log().access_log.name == "gunicorn.access"
