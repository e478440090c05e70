"""Configuration files with hooks, and of logs (public.py)."""

import json
import re
import signal

import pytest
from client import wait_for
from ops import wait_workers
from public import Cases, facts, start

public = Cases()


# ---- hooks ----

EVERY_HOOK = """
import os

def note(name, *more):
    with open("hooks.txt", "a") as file:
        print(name, *more, file=file)

def on_starting(server): note("on_starting", os.getpid() == server.pid)
def when_ready(server): note("when_ready", server.num_workers)
def pre_fork(server, worker): note("pre_fork", worker.age, worker.pid)
def post_fork(server, worker): note("post_fork", worker.age, worker.pid == os.getpid())
def post_worker_init(worker): note("post_worker_init", callable(worker.wsgi))
def pre_request(worker, req): note("pre_request", req.method, req.path, req.query)
def post_request(worker, req, environ, resp): note("post_request", req.uri, resp.status)
def child_exit(server, worker): note("child_exit", worker.age)
def worker_exit(server, worker): note("worker_exit", worker.nr)
def nworkers_changed(server, new_value, old_value): note("nworkers", new_value, old_value)
def on_exit(server): note("on_exit")
"""


@public(
    "cwsgi -w 1 -b :$PORT main:app",
    files={
        "gunicorn.conf.py": EVERY_HOOK,
    },
)
def hooks_of_every_kind(server):
    notes = server.folder / "hooks.txt"
    wait_for(lambda: "when_ready" in notes.read_text(), "the last hook of the start")
    facts(server, "/a?b=c")
    server.stop()
    assert notes.read_text().splitlines() == [
        "on_starting False",  # A process of its own, see docs/hooks.md.
        "nworkers 1 None",
        "pre_fork 1 [booting]",
        "post_fork 1 True",
        "post_worker_init True",
        "when_ready 1",
        "pre_request GET /a b=c",
        "post_request /a?b=c 200 OK",
        "worker_exit 1",
        "child_exit 1",
        "on_exit",
    ]


@public(
    "cwsgi -w 1 -b :$PORT main:app",
    files={
        "gunicorn.conf.py": """
    loglevel = "debug"

    def post_fork(server, worker):
        server.log.info("Worker spawned (pid: %s)", worker.pid)

    def pre_fork(server, worker):
        pass

    def pre_exec(server):
        server.log.info("Forked child, re-executing.")

    def when_ready(server):
        server.log.info("Server is ready. Spawning workers")

    def worker_int(worker):
        worker.log.info("worker received INT or QUIT signal")
        import threading, sys, traceback
        id2name = {th.ident: th.name for th in threading.enumerate()}
        code = []
        for threadId, stack in sys._current_frames().items():
            code.append("\\n# Thread: %s(%d)" % (id2name.get(threadId, ""), threadId))
            for filename, lineno, name, line in traceback.extract_stack(stack):
                code.append('File: "%s", line %d, in %s' % (filename, lineno, name))
        worker.log.debug("\\n".join(code))

    def worker_abort(worker):
        worker.log.info("worker received SIGABRT signal")
    """,
    },
)
def the_example_of_hooks(server):
    (pid,) = wait_workers(server, 1)
    server.wait_log("Server is ready")
    assert server.log().count("[INFO] Server is ready. Spawning workers") == 1
    assert server.log().count(f"[{pid}] [INFO] Worker spawned (pid: {pid})") == 1
    server.stop(signal.SIGINT)
    assert f"[{pid}] [INFO] worker received INT or QUIT signal" in server.log()
    assert "# Thread: MainThread(" in server.log()
    assert "SIGABRT" not in server.log()


@public(
    "cwsgi --preload -w 2 -b :$PORT main:app",
    files={
        "main.py": """
    import os, facts

    class Engine:
        def __init__(self): self.pid = os.getpid()
        def dispose(self): self.pid = None
        def connect(self):
            self.pid = self.pid or os.getpid()
            return self.pid

    engine = Engine()
    def app(environ, start_response):
        return facts.app(environ, start_response, connected_in=engine.connect())
    """,
        "gunicorn.conf.py": """
    def post_fork(server, worker):
        from main import engine
        engine.dispose()
    """,
    },
)
def connections_dropped_after_the_fork(server):
    wait_workers(server, 2)
    seen = facts(server)
    assert seen["connected_in"] == seen["pid"]


@public(
    "cwsgi -w 1 -b :$PORT main:app",
    files={
        "gunicorn.conf.py": """
    import time

    def pre_request(worker, req):
        req.start_time = time.time()
        worker.log.debug("%s %s" % (req.method, req.path))

    def post_request(worker, req, environ, resp):
        total = time.time() - req.start_time
        worker.log.info("took less than %d s: %s %s [%s]", total + 60, req.method, req.path,
                        resp.status_code)
    """,
    },
)
def requests_timed_by_hooks(server):
    facts(server, "/slow")
    server.wait_log("s: GET /slow [200]")
    assert re.search(r"\[INFO\] took less than \d\d s: GET /slow \[200\]", server.log())


# ---- logs ----

JSON_LOGS = """
import datetime, json, logging

class JsonFormatter(logging.Formatter):
    def format(self, record):
        entry = {"logger": record.name, "severity": record.levelname}
        if isinstance(record.args, dict):
            entry.update(status=record.args["s"], path=record.args["U"], ms=record.args["M"])
        else:
            entry["message"] = record.getMessage()
        return json.dumps(entry)

logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "__config__.JsonFormatter"}},
    "handlers": {
        "stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout",
                   "formatter": "json"},
    },
    "root": {"level": "INFO", "handlers": ["stdout"]},
    "loggers": {
        "gunicorn.access": {"level": "INFO", "handlers": ["stdout"], "propagate": False,
                            "qualname": "gunicorn.access"},
        "gunicorn.error": {"level": "INFO", "handlers": ["stdout"], "propagate": False,
                           "qualname": "gunicorn.error"},
    },
}
"""


@public(
    "cwsgi -w 1 -b :$PORT main:app",
    files={
        "gunicorn.conf.py": JSON_LOGS,
    },
)
def json_for_all_loggers(server):
    facts(server, "/log")
    server.stop()
    lines = server.stdout().splitlines()
    lines.remove("printed by the app")
    app, access = map(json.loads, lines)
    assert app == {"logger": "shop.views", "severity": "WARNING", "message": "sold out"}
    assert isinstance(access.pop("ms"), int)
    expected = {"logger": "gunicorn.access", "severity": "INFO", "status": "200", "path": "/log"}
    assert access == expected


@public(
    "cwsgi -w 1 -b :$PORT --log-config logging.conf main:app",
    files={
        "logging.conf": """
    [loggers]
    keys=root, gunicorn.error, gunicorn.access

    [handlers]
    keys=console, access_file

    [formatters]
    keys=generic, access

    [logger_root]
    level=INFO
    handlers=console

    [logger_gunicorn.error]
    level=INFO
    handlers=console
    propagate=0
    qualname=gunicorn.error

    [logger_gunicorn.access]
    level=INFO
    handlers=access_file
    propagate=0
    qualname=gunicorn.access

    [handler_console]
    class=StreamHandler
    formatter=generic
    args=(sys.stdout, )

    [handler_access_file]
    class=logging.handlers.RotatingFileHandler
    formatter=access
    args=('access.log', 'a', 1000000, 3)

    [formatter_generic]
    format=%(asctime)s [%(process)d] [%(levelname)s] %(message)s
    datefmt=%Y-%m-%d %H:%M:%S
    class=logging.Formatter

    [formatter_access]
    format=%(message)s
    class=logging.Formatter
    """,
    },
)
def ini_file_with_a_rotating_access_log(server):
    facts(server, "/log")
    log = server.folder / "access.log"
    wait_for(lambda: '"GET /log HTTP/1.1" 200 ' in log.read_text(), "the access line")
    pid = server.worker().pid
    assert re.search(rf"(?m)^\d{{4}}-\S+ \S+ \[{pid}\] \[WARNING\] sold out$", server.stdout())


@public(
    "cwsgi -w 1 -b :$PORT main:app",
    files={
        "gunicorn.conf.py": """
    from gunicorn import glogging

    class CustomGunicornLogger(glogging.Logger):
        def setup(self, cfg):
            super().setup(cfg)
            import logging

            self.access_log.addFilter(HealthCheckFilter())

    import logging

    class HealthCheckFilter(logging.Filter):
        def filter(self, record):
            return "GET /healthz" not in record.getMessage()

    accesslog = "-"
    access_log_format = "%(r)s %(s)s %({x-request-id}i)s"
    logger_class = CustomGunicornLogger
    """,
    },
)
def logger_class_that_leaves_probes_out(server):
    facts(server, "/healthz")
    facts(server, "/", ("X-Request-ID", "r1"))
    server.stop()
    assert server.stdout() == "GET / HTTP/1.1 200 r1\n"


@public(
    "cwsgi -w 1 -b :$PORT main:app",
    files={
        "gunicorn.conf.py": """
    import logging

    class Quiet(logging.Filter):
        def filter(self, record):
            return record.args["U"] not in {"/live", "/ready"}

    def post_fork(server, worker):
        logging.getLogger("gunicorn.access").addFilter(Quiet())

    accesslog = "-"
    access_log_format = "%(m)s %(U)s"
    """,
    },
)
def filter_for_probes_by_atoms(server):
    for path in ("/live", "/ready", "/"):
        facts(server, path)
    server.stop()
    assert server.stdout() == "GET /\n"


@public(
    "cwsgi main:app",
    files={
        "gunicorn.conf.py": """
    bind = "127.0.0.1:" + __import__("os").environ["PORT"]
    workers = 1
    capture_output = True
    errorlog = "log/error.log"
    accesslog = "log/access.log"
    loglevel = "info"
    pidfile = "run/app.pid"
    proc_name = "shop"
    """,
        "log/keep": "",
        "run/keep": "",
    },
)
def files_for_all_logs(server):
    facts(server, "/log")
    assert server.get("/boom").status == 500
    log = server.folder / "log"
    wait_for(lambda: "as asked" in (log / "error.log").read_text(), "the traceback")
    text = (log / "error.log").read_text()
    assert "printed by the app\n" in text and "[ERROR] Error handling request GET /boom" in text
    wait_for(lambda: (log / "access.log").read_text().count("\n") == 2, "two lines")
    assert server.stdout() == server.log() == ""
    assert int((server.folder / "run" / "app.pid").read_text()) == server.pid


@pytest.mark.parametrize("one", public, ids=lambda one: one.name)
def test_public_hooks(serve, tmp_path, one):
    one.check(start(serve, tmp_path, one))
