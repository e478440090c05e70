"""--logger-class: loggers written for gunicorn, on our base and on gunicorn's own."""

import json
import re
import signal
import socket
import textwrap

import pytest
from client import SLOW, wait_for
from server import APPS, run, worker_pids

BASES = ["gunicorn", "cwsgi"]

QUIET = """
from {base} import glogging

class Quiet(glogging.Logger):
    def access(self, resp, req, environ, request_time):
        if req.path != "/status":
            super().access(resp, req, environ, request_time)
"""
JSON = """
import json, sys
from {base}.glogging import Logger

class Json(Logger):
    def access(self, resp, req, environ, request_time):
        a = self.atoms(resp, req, environ, request_time)
        line = {{
            "path": a["U"], "query": a["q"], "method": a["m"], "line": a["r"], "ip": a["h"],
            "status": a["s"], "sent": a["B"], "agent": a["a"], "user": a["u"],
            "id": a.get("{{x-request-id}}i"),
            "type": a.get("{{content-type}}o"), "env": a["{{server_protocol}}e"],
            "resp": [resp.status, resp.status_code, resp.sent, resp.response_length],
            "req": [req.method, req.uri, req.path, req.query, list(req.version), req.scheme],
            "headers": sorted(name for name, _ in req.headers),
            "types": [type(resp.headers).__name__, type(environ).__name__],
            "took": 0 < request_time.total_seconds() < 60,
            "D": a["D"] == request_time.microseconds,
        }}
        self.access_log.info("%s", json.dumps(line))
"""
SETUP = """
import logging
from {base} import glogging

class WithHandler(glogging.Logger):
    def setup(self, cfg):
        super().setup(cfg)
        for handler in self.access_log.handlers:
            handler.setFormatter(logging.Formatter("access=%(message)s"))
        self._set_handler(self.error_log, "-", logging.Formatter("%(levelname)s! %(message)s"))
        self.error_log.addHandler(logging.FileHandler("more.log"))
"""
ATTRIBUTES = """
import logging
from {base}.glogging import Logger

class Attributes(Logger):
    error_fmt = "%(levelname)s;%(message)s"
    access_fmt = "access;%(message)s"

    def now(self):
        return "today"

    def atoms(self, resp, req, environ, request_time):
        atoms = super().atoms(resp, req, environ, request_time)
        atoms["level"] = "low" if resp.status_code < 400 else "high"
        return atoms
"""
# Everything goes to a logger of another kind, as to loguru.
STUBBED = """
import logging, sys
from {base}.glogging import Logger

class Intercept(logging.Handler):
    def emit(self, record):
        sys.stdout.write(f"{{record.levelname}}|{{record.name}}|{{record.getMessage()}}" + chr(10))

class Stubbed(Logger):
    def setup(self, cfg):
        handler = logging.NullHandler()
        self.error_logger = logging.getLogger("gunicorn.error")
        self.error_logger.addHandler(handler)
        self.access_logger = logging.getLogger("gunicorn.access")
        self.access_logger.addHandler(handler)
        self.error_logger.setLevel("INFO")
        self.access_logger.setLevel("INFO")

logging.root.handlers = [Intercept()]
for name in ("gunicorn", "gunicorn.access", "gunicorn.error"):
    logging.getLogger(name).handlers = [Intercept()]
"""
STRUCTURED = """
import json, sys, traceback

class Structured:
    '''Nothing of gunicorn's: every method is its own.'''
    def __init__(self, cfg):
        self.cfg, self.bound = cfg, {{"app": cfg.proc_name, "level": cfg.loglevel}}
    def _say(self, level, msg, *args, **kwargs):
        event = dict(self.bound, level=level, event=msg % args if args else msg)
        if level == "exception":
            event["exception"] = traceback.format_exc().splitlines()[-1]
        sys.stdout.write(json.dumps(event) + chr(10))
    def access(self, resp, req, environ, request_time):
        self._say("access", "%s %s", req.path, resp.status)
    def reopen_files(self): self._say("info", "reopened")
    def close_on_exec(self): self._say("info", "closed")
    def __getattr__(self, level):
        return lambda *args, **kwargs: self._say(level, *args, **kwargs)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs"


def write(folder, text, base="cwsgi", name="mylogs.py"):
    (folder / name).write_text(textwrap.dedent(text.format(base=base)))
    return folder


def lines(server, count):
    wait_for(lambda: len(server.stdout().splitlines()) >= count, server.stdout, 10)
    return server.stdout().splitlines()


@pytest.mark.parametrize("options", [[], ["--preload"]])
@pytest.mark.parametrize("base", BASES)
def test_a_filter_in_access(serve, folder, base, options):
    server = serve(
        "observed:app",
        *("--pythonpath", write(folder, QUIET, base), "--logger-class", "mylogs.Quiet"),
        *("--access-logfile", "-", "--access-logformat", "%(m)s %(U)s %(s)s", *options),
    )
    server.get("/status?204")
    server.get("/")
    server.stop()
    assert server.stdout() == "GET / 200\n"
    assert server.log().count("go through access() of logger_class") == 1


@pytest.mark.parametrize("base", BASES)
def test_json_of_atoms(serve, folder, base):
    """What access() gets is what gunicorn's loggers use."""
    options = ["--logger-class", "mylogs.Json", "--access-logfile", "-"]
    server = serve("observed:app", "--pythonpath", write(folder, JSON, base), *options)
    fields = [("User-Agent", 'a"b\\'), ("X-Request-ID", "r\xe9")]
    fields.append(("Authorization", "Basic bWU6eA=="))
    server.get("/status%2F?404&x=%22", fields)
    server.stop()
    (line,) = server.stdout().splitlines()
    seen = json.loads(line)
    assert seen == {
        **{"path": "/status/", "query": "404&x=%22", "method": "GET", "ip": "127.0.0.1"},
        **{"line": "GET /status%2F?404&x=%22 HTTP/1.1", "status": "404", "sent": 9},
        **{"agent": 'a"b\\', "user": "me", "id": "r\xe9", "type": "text/plain"},
        **{"env": "HTTP/1.1", "resp": ["404 Not Found", 404, 9, 9]},
        "req": ["GET", "/status%2F?404&x=%22", "/status%2F", "404&x=%22", [1, 1], "http"],
        "headers": ["AUTHORIZATION", "HOST", "USER-AGENT", "X-REQUEST-ID"],
        **{"types": ["list", "dict"], "took": True, "D": True},
    }


@pytest.mark.parametrize("base", BASES)
def test_setup_is_overridden(serve, folder, base):
    """Its handlers get access lines, what the app logs, and failing requests."""
    conf = write(folder, SETUP + "logger_class = WithHandler\n", base, "gunicorn.conf.py")
    form = ["--access-logfile", "-", "--access-logformat", "%(s)s %({x-reply}o)s %(p)s"]
    server = serve("observed:app", "-c", conf / "gunicorn.conf.py", *form, chdir=APPS)
    server.get("/fields")
    server.get("/fail")
    pid = server.worker().pid
    assert lines(server, 2) == [f'access=200 q\\"uote <{pid}>', f"access=500 - <{pid}>"]
    server.wait_log("ValueError: as asked")
    assert "ERROR! Error handling request GET /fail\nTraceback (most" in server.log()
    assert "[ERROR]" not in server.log()  # said once
    more = APPS / "more.log"
    try:
        assert "ValueError: as asked" in more.read_text()
    finally:
        more.unlink()


@pytest.mark.parametrize("base", BASES)
def test_attributes_and_atoms_of_its_own(serve, folder, base):
    """Formats may name what atoms() adds."""
    options = ["--pythonpath", write(folder, ATTRIBUTES, base), "--logger-class"]
    form = "%(t)s %(level)-5s %(s)s %({x}q)s %({host}i)s %(nothing)s"
    format_ = ["--access-logfile", "-", "--access-logformat", form]
    server = serve("observed:app", *options, "mylogs.Attributes", *format_)
    server.get("/status?200")
    server.get("/fail")
    server.wait_log("ValueError: as asked")
    assert "ERROR;Error handling request GET /fail\nTraceback" in server.log()
    assert lines(server, 2) == [
        "access;today low   200 - test -",
        "access;today high  500 - test -",
    ]


@pytest.mark.parametrize("base", BASES)
def test_a_stub_that_hands_all_over(serve, folder, base):
    options = ["--pythonpath", write(folder, STUBBED, base), "--logger-class", "mylogs.Stubbed"]
    form = ["--access-logfile", "-", "--access-logformat", "%(U)s"]
    server = serve("observed:app", *options, *form)
    server.get("/")
    server.get("/fail")
    server.stop()
    assert sorted(server.stdout().splitlines()) == [
        "ERROR|gunicorn.error|Error handling request GET /fail",
        "INFO|gunicorn.access|/",
        "INFO|gunicorn.access|/fail",
    ]


@pytest.mark.parametrize("options", [[], ["--preload"]])
def test_a_logger_that_is_all_its_own(serve, folder, options):
    hooks = """
    from mylogs import Structured
    logger_class = Structured
    def when_ready(server):
        server.log.info("ready %d", server.cfg.workers)
    def post_worker_init(worker):
        worker.log.warning("worker %s", worker.log is worker.app.logger)
    """
    write(folder, STRUCTURED)
    conf = write(folder, hooks, name="gunicorn.conf.py") / "gunicorn.conf.py"
    server = serve("observed:app", "-c", conf, "--pythonpath", folder, *options, workers=1)
    server.get("/status?503")
    server.get("/fail")
    server.send_signal(signal.SIGUSR1)
    wait_for(lambda: "reopened" in server.stdout(), server.stdout)
    server.stop()
    seen = [json.loads(line) for line in server.stdout().splitlines()]
    assert {event["app"] for event in seen} == {"observed:app"}
    said = {(e["level"], e["event"]) for e in seen if e["level"] != "debug"}
    assert sorted(said) == [
        ("access", "/fail 500 Internal Server Error"),
        ("access", "/status 503 Service Unavailable"),
        ("exception", "Error handling request GET /fail"),
        ("info", "closed"),
        ("info", "ready 1"),
        ("info", "reopened"),
        ("warning", "worker True"),
    ]
    (failure,) = [event for event in seen if event["level"] == "exception"]
    assert failure["exception"] == "ValueError: as asked"
    assert "ValueError" not in server.log()


@pytest.mark.parametrize("base", BASES)
def test_files_are_opened_anew(serve, folder, base):
    options = ["--pythonpath", write(folder, QUIET, base), "--logger-class", "mylogs.Quiet"]
    log = folder / "access.log"
    form = ["--access-logfile", log, "--access-logformat", "%(U)s"]
    server = serve("observed:app", *options, *form)
    server.get("/")
    wait_for(lambda: log.exists() and log.read_text() == "/\n", "the line")
    log.rename(folder / "old")
    server.send_signal(signal.SIGUSR1)
    wait_for(log.exists, "the new file") if base == "gunicorn" else None
    server.get("/fields")
    wait_for(lambda: log.exists() and log.read_text() == "/fields\n", "the new file")


def test_a_logger_that_fails_harms_no_request(serve, folder):
    """Nothing is lost: what it could not say is in the server's own log."""
    broken = """
    class Broken:
        def __init__(self, cfg): pass
        def close_on_exec(self): pass
        def access(self, *args): raise RuntimeError("no access")
        def log(self, *args, **kwargs): raise RuntimeError("no words")
        debug = info = warning = error = critical = exception = reopen_files = log
    """
    options = ["--pythonpath", write(folder, broken), "--logger-class", "mylogs.Broken"]
    server = serve("observed:app", *options)
    for _ in range(3):
        assert server.get("/status?200").status == 200
    assert server.get("/fail").status == 500
    server.wait_log("ValueError: as asked")
    server.wait_log("RuntimeError: no words")
    server.wait_log("RuntimeError: no access")
    server.wait_log("Access lines cannot be logged")
    assert server.log().count("Access lines cannot be logged") == 1


def test_requests_that_no_app_has_seen(serve, folder):
    options = ["--pythonpath", write(folder, STRUCTURED), "--logger-class", "mylogs.Structured"]
    server = serve("observed:app", *options)
    for data in (b"GET /no-host HTTP/1.1\r\n\r\n", b"\x00\r\n\r\n"):
        with server.connect() as client:
            client.send(data)
            assert client.response().status == 400
    wait_for(lambda: server.stdout().count('"access') >= 2, server.stdout)
    said = [json.loads(line)["event"] for line in server.stdout().splitlines() if '"access' in line]
    assert said == ["/no-host 400 Bad Request", "- 400 Bad Request"]


def test_a_long_request(serve, folder):
    """What does not fit into a record is the end of what is long, never the status."""
    options = ["--pythonpath", write(folder, JSON), "--logger-class", "mylogs.Json"]
    limits = ["--limit-request-line", "0", "--limit-request-field-size", "0"]
    server = serve("observed:app", *options, *limits, "--access-logfile", "-")
    server.get("/" + "%41" * 3000 + "?" + "q" * 3000, [("X-Long", "v" * 9000)])
    seen = json.loads(lines(server, 1)[0])
    assert (seen["method"], seen["status"], seen["sent"]) == ("GET", "404", 9)
    assert seen["line"].startswith("GET /%41%41") and seen["line"].endswith(" HTTP/1.1")
    assert seen["path"].startswith("/AAAA")


def test_a_path_cannot_forge_a_line(serve, folder):
    form = ["--access-logfile", "-", "--access-logformat", "%(U)s %(q)s"]
    options = ["--pythonpath", write(folder, QUIET), "--logger-class", "mylogs.Quiet"]
    server = serve("observed:app", *options, *form)
    server.get("/%0a%1b%22%5c%c3%a9?%0a")
    server.stop()
    assert server.stdout() == '/\\x0A\\x1B\\"\\Ã© %0a\n'


@pytest.mark.parametrize(
    "value, said",
    [
        ("nothing.Logger", "ModuleNotFoundError: No module named 'nothing'"),
        ("mylogs.Missing", "AttributeError: module 'mylogs' has no attribute 'Missing'"),
        ("mylogs.needy", "No module named 'gunicorn.nothing'; install gunicorn, or derive"),
        ("Logger", "TypeError: it is named as MODULE.CLASS"),
        ("mylogs.number", "TypeError: it is int, not a class"),
        ("mylogs.Plain", "TypeError: it lacks access(), debug(), info(), warning(), error(), "),
        ("mylogs.Fails", "RuntimeError: not today"),
    ],
)
def test_a_class_that_cannot_be_had(folder, value, said):
    text = """
    number = 5
    class Plain:
        def __init__(self, cfg): pass
    class Fails:
        def __init__(self, cfg): raise RuntimeError("not today")
    def __getattr__(name):
        if name == "needy":
            import gunicorn.nothing
        raise AttributeError(f"module 'mylogs' has no attribute '{{name}}'")
    """
    options = ["--pythonpath", write(folder, text), "--logger-class", value]
    for more in (["--check-config"], ["-b", "127.0.0.1:0"]):
        result = run(*more, *options, "hello:app", cwd=APPS)
        assert result.returncode == 1
        assert f"logger_class {value} cannot be used: " in result.stderr
        assert said in result.stderr


@pytest.mark.parametrize(
    "value",
    [
        "simple",
        "gunicorn.glogging.Logger",
        "gunicorn.instrument.statsd.Statsd",
        "cwsgi.glogging.Logger",
    ],
)
def test_what_the_server_does_itself(serve, value):
    server = serve("observed:app", "--logger-class", value, "--access-logfile", "-")
    server.get("/")
    assert lines(server, 1)[0].startswith("127.0.0.1 - - [")
    assert "go through" not in server.log()


class Daemon:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(path))
        self.sock.settimeout(10 * SLOW)

    def receive(self):
        return self.sock.recv(65536).decode()


@pytest.fixture
def daemon(tmp_path):
    one = Daemon(tmp_path / "sock")
    yield one
    one.sock.close()


def test_syslog(serve, folder, daemon, tmp_path):
    options = ["--pythonpath", write(folder, QUIET), "--logger-class", "mylogs.Quiet"]
    to = ["--log-syslog", "--log-syslog-to", f"unix://{tmp_path}/sock#dgram"]
    server = serve("observed:app", *options, *to, "--access-logformat", "%(r)s %(s)s")
    server.get("/status?200")
    server.get("/")
    while ".access: " not in (line := daemon.receive()):
        pass
    assert re.fullmatch(r"<14>cwsgi\.observed\.app\.access: \[\d+\] GET / HTTP/1.1 200", line)
    assert server.stdout() == ""


@pytest.mark.parametrize("base", BASES)
def test_a_reload_takes_the_new_class(serve, folder, base):
    """No handler is there twice, neither in workers nor for hooks of the master."""
    text = """
    from {base}.glogging import Logger
    class Numbered(Logger):
        access_fmt = "first %(message)s"
    logger_class = Numbered
    accesslog, access_log_format = "-", "%(U)s"
    def on_reload(server):
        server.log.info("reloaded")
    """
    conf = write(folder, text, base, "gunicorn.conf.py") / "gunicorn.conf.py"
    server = serve("observed:app", "-c", conf)
    server.get("/")
    assert lines(server, 1) == ["first /"]
    (old,) = worker_pids(server)
    write(folder, text.replace("first", "second"), base, "gunicorn.conf.py")
    server.send_signal(signal.SIGHUP)
    wait_for(
        lambda: len(worker_pids(server) - {old}) == 1 and old not in worker_pids(server), "the new"
    )
    server.get("/fields")
    assert lines(server, 2) == ["first /", "second /fields"]
    assert server.log().count("[INFO] reloaded") == 1
