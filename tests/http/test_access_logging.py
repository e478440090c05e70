"""Access lines through Python's logging: filters, formatters and handlers of gunicorn's users."""

import json
import socket
import textwrap

import pytest
from client import SLOW, wait_for

FILTER = """
import logging

class NoHealth(logging.Filter):
    def filter(self, record):
        return "/status?204" not in record.getMessage()
"""
JSON = """
import json, logging, sys

class Json(logging.Formatter):
    def format(self, record):
        a = record.args
        return json.dumps({
            "level": record.levelname, "status": int(a["s"]), "method": a["m"], "path": a["U"],
            "query": a["q"], "bytes": a["B"], "micros": a["D"], "ip": a["h"], "agent": a["a"],
            "id": a["{X-Request-Id}i"], "none": a["{x-none}i"], "got": a.get("{x-none}i", 5),
        })
"""
DICT = """
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"quiet": {"()": NoHealth}},
    "formatters": {"json": {"()": Json}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout",
                "formatter": "json", "filters": ["quiet"]},
    },
    "loggers": {"gunicorn.access": {"handlers": ["console"], "level": "INFO", "propagate": False}},
}
"""
NOTICE = "Access lines go through the logger gunicorn.access"


def write(folder, *parts):
    path = folder / "a.conf.py"
    path.write_text("\n".join(textwrap.dedent(part) for part in parts))
    return path


def lines(server, count):
    wait_for(lambda: len(server.stdout().splitlines()) >= count, server.stdout, 10)
    return server.stdout().splitlines()


@pytest.mark.parametrize("options", [[], ["--preload"]])
def test_formatter_and_filter_of_a_configuration(serve, tmp_path, options):
    """Without --access-logfile, as with gunicorn."""
    server = serve("observed:app", "-c", write(tmp_path, FILTER, JSON, DICT), *options)
    server.get("/status?204")
    server.get("/status?404", [("User-Agent", 'a"b'), ("X-Request-ID", "r1")])
    server.stop()
    (line,) = server.stdout().splitlines()
    seen = json.loads(line)
    assert 0 < seen.pop("micros") < 10_000_000
    assert isinstance(seen.pop("bytes"), int)
    assert seen == {
        **{"level": "INFO", "status": 404, "method": "GET", "path": "/status", "query": "404"},
        **{"ip": "127.0.0.1", "agent": 'a\\"b', "id": "r1", "none": "-", "got": 5},
    }
    assert server.log().count(NOTICE) == 1


def test_a_filter_that_a_hook_adds(serve, tmp_path):
    hook = """
    def post_fork(server, worker):
        server.log.access_log.addFilter(NoHealth())
    """
    conf = write(tmp_path, FILTER, hook)
    server = serve(
        "observed:app", "-c", conf, "--access-logfile", "-", "--access-logformat", "%(r)s"
    )
    server.get("/status?204")
    server.get("/status?200")
    server.stop()
    assert server.stdout() == "GET /status?200 HTTP/1.1\n"


@pytest.mark.parametrize("options", [[], ["--preload"]])
def test_a_filter_that_the_file_adds_outside_of_functions(serve, tmp_path, options):
    top = "logging.getLogger('gunicorn.access').addFilter(NoHealth())"
    conf = write(tmp_path, FILTER, top)
    form = ["--access-logfile", "-", "--access-logformat", "%(r)s"]
    server = serve("observed:app", "-c", conf, *form, *options)
    server.get("/status?204")
    server.get("/status?200")
    server.stop()
    assert server.stdout() == "GET /status?200 HTTP/1.1\n"


@pytest.mark.parametrize("hook", ["on_starting(server)", "when_ready(server)"])
def test_a_filter_that_a_hook_of_the_master_adds(serve, tmp_path, hook):
    """It stays in that hook's process, which one line says."""
    text = f"""
    def {hook}:
        for name in ("gunicorn.access", "gunicorn.error"):
            logging.getLogger(name).addFilter(NoHealth())
        logging.getLogger("gunicorn.error").info("said by %s", "the hook")
    """
    conf = write(tmp_path, FILTER.replace("/status?204", "nothing"), text)
    server = serve("observed:app", "-c", conf, "--access-logfile", "-")
    kind = hook.partition("(")[0]
    said = f"what {kind} did to the logger gunicorn.access and gunicorn.error does not reach"
    server.wait_log(said)
    server.get("/status?204")
    assert "/status?204" in lines(server, 1)[0]
    assert server.log().count(said) == 1
    assert server.log().count("[INFO] said by the hook") == 1


def test_hooks_that_leave_loggers_alone_are_told_nothing(serve, tmp_path):
    hook = """
    import logging
    def when_ready(server):
        logging.getLogger("gunicorn.error").warning("ready")
    """
    server = serve("observed:app", "-c", write(tmp_path, hook))
    server.wait_log("[WARNING] ready")
    server.stop()
    assert "does not reach" not in server.log()


def test_syslog(serve, tmp_path):
    """Lines that go through Python go there, too, in the same form."""
    daemon = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    daemon.bind(str(tmp_path / "sock"))
    daemon.settimeout(10 * SLOW)
    hook = "def post_fork(server, worker): server.log.access_log.addFilter(NoHealth())"
    server = serve(
        "observed:app",
        *("-c", write(tmp_path, FILTER, hook), "--access-logformat", "%(r)s"),
        *("--log-syslog", "--log-syslog-to", f"unix://{tmp_path}/sock#dgram"),
        *("--log-syslog-facility", "local2"),
    )
    server.get("/status?204")
    server.get("/status?200")
    with daemon:
        while "app.access: " not in (line := daemon.recv(4096).decode()):
            pass
    pid = server.worker().pid
    assert line == f"<150>cwsgi.observed.app.access: [{pid}] GET /status?200 HTTP/1.1"
    assert server.stdout() == ""


def test_a_file_and_rotation(serve, tmp_path):
    hook = "def post_fork(server, worker): server.log.access_log.addFilter(lambda record: True)\n"
    log = tmp_path / "access.log"
    form = "%(s)s %({host}i)s %({Content-Type}o)s"
    options = ["--access-logfile", log, "--access-logformat", form]
    server = serve("observed:app", "-c", write(tmp_path, hook), *options)
    server.get("/status?200")
    wait_for(lambda: log.exists() and log.read_text() != "", "the line")
    assert log.read_text().split()[:2] == ["200", "test"]
    log.rename(tmp_path / "old")
    server.send_signal(10)
    server.get("/status?201")
    wait_for(lambda: log.exists() and log.read_text().startswith("201 "), "the new file")


@pytest.mark.parametrize(
    "text",
    [
        'logconfig_dict = {"version": 1, "root": {"level": "INFO"}}',
        'logconfig_dict = {"version": 1, "loggers": {"mine": {"level": "INFO"}}}',
        "import logging\ndef post_fork(server, worker): logging.getLogger('gunicorn.access')",
    ],
)
def test_a_configuration_that_leaves_the_logger_alone(serve, tmp_path, text):
    conf = write(tmp_path, text)
    server = serve(
        "observed:app", "-c", conf, "--access-logfile", "-", "--access-logformat", "json"
    )
    server.get("/status?200")
    assert json.loads(lines(server, 1)[0])["status"] == 200
    assert NOTICE not in server.log()


def test_a_long_request(serve, tmp_path):
    """What does not fit into a record is the end of what is long, never the status."""
    server = serve("observed:app", "-c", write(tmp_path, FILTER, JSON, DICT))
    server.get("/?" + "&" * 3000, [("User-Agent", "a" * 4000), ("Referer", "r" * 4000)])
    seen = json.loads(lines(server, 1)[0])
    assert (seen["status"], seen["method"], seen["bytes"]) == (200, "GET", 5)
    assert 0 < seen["micros"] < 60_000_000


def test_an_ini_file(serve, tmp_path):
    (tmp_path / "log.ini").write_text(
        textwrap.dedent(
            """
            [loggers]
            keys = root, access
            [handlers]
            keys = out
            [formatters]
            keys = plain
            [logger_root]
            handlers = out
            [logger_access]
            qualname = gunicorn.access
            handlers = out
            propagate = 0
            level = INFO
            [handler_out]
            class = StreamHandler
            args = (sys.stdout,)
            formatter = plain
            [formatter_plain]
            format = access %(message)s
            """
        )
    )
    server = serve("observed:app", "--log-config", tmp_path / "log.ini")
    server.get("/status?200")
    assert lines(server, 1)[0].startswith("access 127.0.0.1 - - [")


def test_a_handler_that_raises_harms_no_request(serve, tmp_path):
    hook = """
    class Broken:
        level = 0
        def handle(self, record): raise RuntimeError("this handler is broken")
    def post_fork(server, worker):
        server.log.access_log.handlers.append(Broken())
    """
    conf = write(tmp_path, hook)
    server = serve("observed:app", "-c", conf, "--access-logfile", "-")
    for _ in range(3):
        assert server.get("/status?200").status == 200
    server.wait_log("this handler is broken")
    assert server.log().count("Access lines cannot be logged") == 1


def test_a_handler_that_hangs_holds_no_request_up(serve, tmp_path):
    hook = """
    import time
    class Slow(__import__("logging").Handler):
        def emit(self, record): time.sleep(60)
    def post_fork(server, worker):
        server.log.access_log.addHandler(Slow())
    """
    conf = write(tmp_path, hook)
    server = serve("observed:app", "-c", conf, "--access-logfile", "-", "--graceful-timeout", 1)
    with server.connect() as client:
        for _ in range(200):
            assert client.ask("/status?200").status == 200
    assert server.stop() == 0
