"""Command lines and configuration files as images, buildpacks and deployments have them.

Each is written here in the manner of those that are around, and must do what its author
wanted, not only start: how many workers there are, what the logs say, what hooks were called.
"""

import dataclasses
import json
import os
import re
import shlex
import signal
import socket
import sys
import textwrap

import psutil
import pytest
from client import SLOW, wait_for
from ops import titled, wait_workers, worker_pids
from server import Port, UnixPath, program

# What every app here is made of; it tells what it sees.
FACTS = """
import json, logging, os, sys, threading

def facts(environ, **more):
    names = "REMOTE_ADDR wsgi.url_scheme SCRIPT_NAME wsgi.multithread wsgi.multiprocess"
    return {
        **{name: environ[name] for name in names.split()}, "pid": os.getpid(), "argv": sys.argv,
        "cwd": os.getcwd(), "env": dict(os.environ), "thread": threading.current_thread().name,
        "modules": [name for name in sys.modules if name in ("agent", "sitecustomize")], **more,
    }

def app(environ, start_response, **more):
    path = environ["PATH_INFO"]
    if path == "/boom":
        raise ValueError("boom, as asked")
    if path == "/log":
        logging.getLogger("shop.views").warning("sold %s", "out")
        print("printed by the app")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(facts(environ, **more)).encode()]
"""
MAIN = "from facts import app\n"


@dataclasses.dataclass
class Public:
    """One of them: a shell's line, the files beside it, and what must come of it."""

    line: str
    files: dict
    env: dict
    check: object
    binds: object = None

    @property
    def name(self):
        return self.check.__name__


CASES = []


def public(line, files=None, binds=None, env=None):
    """Makes a case of a check. `files`: their text by name."""

    def keep(check):
        CASES.append(Public(line, files or {}, env or {}, check, binds))
        return check

    return keep


@pytest.fixture
def start(serve, tmp_path):
    def start(one):
        folder = tmp_path / "server0"
        folder.mkdir()
        files = {"facts.py": FACTS, "main.py": MAIN, **one.files}
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
            path.chmod(0o755)
        own = folder / "bin" / "cwsgi"
        own.parent.mkdir(exist_ok=True)
        own.write_text(f'#!/bin/sh\nexec {shlex.join(program())} "$@"\n')
        own.chmod(0o755)
        port = Port()
        binds = one.binds(folder, port) if one.binds else [port]
        path = f"{own.parent}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
        server = serve(
            None,
            command=["sh", "-c", f"exec {one.line}"],
            env={"PATH": path, "PORT": port.number, **one.env},
            **{"workers": None, "threads": None, "chdir": None},
            **{"binds": binds, "bind_options": False},
        )
        return server

    return start


def facts(server, path="/", *fields):
    response = server.get(path, list(fields))
    assert response.status == 200, response
    return response.json()


def stdout_lines(server, count):
    wait_for(lambda: len(server.stdout().splitlines()) >= count, server.stdout, 10)
    return server.stdout().splitlines()


# ---- platforms ----


@public(
    "cwsgi --bind=0.0.0.0 --timeout 600 --chdir=src main:app",
    env={"WEB_CONCURRENCY": 2},
    files={
        "src/main.py": MAIN,
        "src/facts.py": FACTS,
    },
)
def azure_app_service(server):
    wait_workers(server, 2)
    seen = facts(server)
    assert seen["cwd"].endswith("/src") and seen["wsgi.multiprocess"] is True


@public(
    "cwsgi main:app --log-file -",
    env={"WEB_CONCURRENCY": 3},
)
def heroku_procfile(server):
    wait_workers(server, 3)
    server.wait_log(f"Listening at: http://0.0.0.0:{server.binds[0].number}")


@public(
    "cwsgi main:app",
    env={
        "GUNICORN_CMD_ARGS": "--workers=2 --access-logfile=- --access-logformat='%(m)s \"%(U)s\"'"
        " --env 'GREETING=hello there'"
    },
)
def heroku_config_vars(server):
    assert facts(server, "/a")["env"]["GREETING"] == "hello there"
    wait_workers(server, 2)
    assert stdout_lines(server, 1) == ['GET "/a"']


@public(
    "cwsgi -k gthread project.wsgi:application -b 0.0.0.0:$PORT --workers 2 --threads 4",
    files={
        "project/__init__.py": "",
        "project/wsgi.py": "from facts import app as application\n",
    },
)
def render_start_command(server):
    wait_workers(server, 2)
    assert server.log().count("--worker-class gthread has no effect") == 1
    assert "2 workers x 4 threads" in server.log()
    assert facts(server)["wsgi.multithread"] is True


@public(
    "cwsgi --worker-tmp-dir /dev/shm --config gunicorn_config.py main:app",
    files={
        "gunicorn_config.py": """
    import os

    bind = f"0.0.0.0:{os.environ['PORT']}"
    workers = int(os.getenv("WORKERS", "1"))
    threads = int(os.getenv("THREADS", "2"))
    accesslog = "-"
    access_log_format = '%(h)s "%(r)s" %(s)s'
    forwarded_allow_ips = "*"
    """,
    },
)
def railway_config(server):
    seen = facts(server, "/", ("X-Forwarded-Proto", "https"))
    assert seen["wsgi.url_scheme"] == "https"
    assert stdout_lines(server, 1) == ['127.0.0.1 "GET / HTTP/1.1" 200']
    assert "1 worker x 2 threads" in server.log()


@public(
    "cwsgi --bind :$PORT --workers 1 --threads 8 --timeout 0 main:app",
    env={"K_SERVICE": "shop", "K_REVISION": "shop-1"},
)
def cloud_run(server):
    """Its front end is trusted for the client's address and scheme."""
    fields = [("X-Forwarded-For", "192.0.2.9"), ("X-Forwarded-Proto", "https")]
    seen = facts(server, "/", *fields)
    assert (seen["REMOTE_ADDR"], seen["wsgi.url_scheme"]) == ("192.0.2.9", "https")


@public(
    "cwsgi -b :$PORT",
    files={
        "gunicorn.conf.py": "wsgi_app = 'main:app'\nworkers = 1\nthreads = 1\n",
    },
)
def buildpack_without_an_app(server):
    """One thread is the main one."""
    assert facts(server)["thread"] == "MainThread"
    assert facts(server)["wsgi.multithread"] is False


@public(
    "cwsgi --bind '[::]:'$PORT --workers 1 --threads 2 main:app",
)
def fly_ipv6(server):
    """Both families come in, and an IPv4 client looks like one."""
    assert facts(server)["REMOTE_ADDR"] in ("127.0.0.1", "::ffff:127.0.0.1")
    sock = socket.create_connection(("::1", server.binds[0].number), 10 * SLOW)
    with sock:
        sock.sendall(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


# ---- projects ----


@public(
    "cwsgi --workers 4 --worker-class sync --timeout 120 --bind 0.0.0.0:$PORT --preload"
    " --name airflow-webserver --pid webserver.pid --config python:webserver.conf"
    " --access-logfile - --error-logfile - 'main:cached_app()'",
    files={
        "main.py": """
    import os, facts
    pid = os.getpid()
    def cached_app(config=None, testing=False):
        return lambda environ, start: facts.app(environ, start, imported_in=pid)
    """,
        "webserver/__init__.py": "",
        "webserver/conf.py": """
    import os

    def post_worker_init(dummy_worker):
        os.environ["READY"] = str(dummy_worker.age)
    """,
    },
)
def airflow_webserver(server):
    pids = wait_workers(server, 4)
    seen = facts(server)
    (zygote,) = titled(server, "preload")
    assert seen["imported_in"] == zygote.pid and seen["pid"] in pids
    assert seen["env"]["READY"] in "1234"
    assert (server.folder / "webserver.pid").read_text() == f"{server.pid}\n"
    assert "airflow-webserver" in " ".join(psutil.Process(server.pid).cmdline())


@public(
    'cwsgi --bind "${HOST:-0.0.0.0}:${PORT}" --access-logfile "${ACCESS_LOG_FILE:--}"'
    ' --error-logfile "${ERROR_LOG_FILE:--}" --workers ${SERVER_WORKER_AMOUNT:-1}'
    " --worker-class ${SERVER_WORKER_CLASS:-gthread} --threads ${SERVER_THREADS_AMOUNT:-20}"
    " --log-level ${GUNICORN_LOGLEVEL:-info} --timeout ${GUNICORN_TIMEOUT:-60}"
    " --keep-alive ${GUNICORN_KEEPALIVE:-2} --max-requests ${WORKER_MAX_REQUESTS:-0}"
    " --max-requests-jitter ${WORKER_MAX_REQUESTS_JITTER:-0}"
    " --limit-request-line ${SERVER_LIMIT_REQUEST_LINE:-0}"
    ' --limit-request-field_size ${SERVER_LIMIT_REQUEST_FIELD_SIZE:-0} "${FLASK_APP}"',
    env={"FLASK_APP": "shop.app:create_app()"},
    files={
        "shop/__init__.py": "",
        "shop/app.py": """
    import flask

    def create_app():
        app = flask.Flask(__name__)
        app.add_url_rule("/long", view_func=lambda: str(len(flask.request.query_string)))
        return app
    """,
    },
)
def superset_entrypoint(server):
    """Lines and fields without a limit of their own."""
    response = server.get("/long?" + "q" * 20_000, [("X-Long", "v" * 20_000)])
    assert (response.status, response.body) == (200, b"20000")
    assert "1 worker x 20 threads" in server.log()
    assert '"GET /long?qqq' in stdout_lines(server, 1)[0]


@public(
    "cwsgi main:app -b 0.0.0.0:$PORT -w 1 --max-requests 5 --max-requests-jitter 0"
    " --graceful-timeout 5 --log-level warning",
)
def workers_that_are_recycled(server):
    first = wait_workers(server, 1)
    for _ in range(5):
        facts(server)
    wait_workers(server, 1, without=first)
    assert "[INFO]" not in server.log()


@public(
    "cwsgi config.wsgi --bind 0.0.0.0:$PORT --chdir=backend",
    env={"DJANGO_SETTINGS_MODULE": "config.settings.production"},
    files={
        "backend/config/__init__.py": "",
        "backend/config/settings/__init__.py": "",
        "backend/config/settings/production.py": """
    SECRET_KEY = "not one"
    ALLOWED_HOSTS = ["*"]
    ROOT_URLCONF = "config.urls"
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    """,
        "backend/config/urls.py": """
    from django.http import JsonResponse
    from django.urls import path

    def about(request, name):
        return JsonResponse({"name": name, "secure": request.is_secure(), "path": request.path})

    urlpatterns = [path("about/<str:name>/", about)]
    """,
        "backend/config/wsgi.py": """
    import os, sys
    from pathlib import Path
    from django.core.wsgi import get_wsgi_application

    sys.path.append(str(Path(__file__).resolve().parent.parent / "shop"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    application = get_wsgi_application()
    """,
    },
)
def django_cookiecutter(server):
    seen = server.get("/about/caf%C3%A9/", [("X-Forwarded-Proto", "https")]).json()
    assert seen == {"name": "café", "secure": True, "path": "/about/café/"}


@public(
    "cwsgi -c /dev/stdin main:app < netbox.py",
    files={
        "netbox.py": """
    import multiprocessing, os

    bind = '127.0.0.1:' + os.environ['PORT']
    # Number of workers (twice the cores, plus one), kept small here.
    workers = min(multiprocessing.cpu_count() * 2 + 1, 3)
    threads = 3
    timeout = 120
    max_requests = 5000
    max_requests_jitter = 500
    """,
    },
)
def netbox_config_on_standard_input(server):
    wait_workers(server, 3)
    assert "3 workers x 3 threads" in server.log()


@public(
    "cwsgi main:app",
    env={
        **{"GUNICORN_WORKERS": "2", "GUNICORN_THREADS": "3", "GUNICORN_ACCESSLOG": "-"},
        **{"GUNICORN_TIMEOUT": "30", "GUNICORN_PRELOAD_APP": "true", "GUNICORN_RELOAD": "False"},
        **{"GUNICORN_ACCESS_LOG_FORMAT": "%(s)s", "GUNICORN_KEEPALIVE": "5"},
    },
    files={
        "gunicorn.conf.py": """
    # Everything from the environment, as text.
    import os

    for k, v in os.environ.items():
        if k.startswith("GUNICORN_"):
            key = k.split("_", 1)[1].lower()
            locals()[key] = v
    """,
    },
)
def settings_by_a_loop_over_variables(server):
    wait_workers(server, 2)
    assert "2 workers x 3 threads" in server.log()
    assert len(titled(server, "preload")) == 1
    facts(server)
    assert stdout_lines(server, 1) == ["200"]


@public(
    "cwsgi -c gunicorn_conf.py main:app",
    env={"MAX_WORKERS": 2, "ACCESS_LOG": ""},
    files={
        "gunicorn_conf.py": """
    import json
    import multiprocessing
    import os

    workers_per_core_str = os.getenv("WORKERS_PER_CORE", "1")
    max_workers_str = os.getenv("MAX_WORKERS")
    use_max_workers = int(max_workers_str) if max_workers_str else None
    web_concurrency_str = os.getenv("WEB_CONCURRENCY", None)
    host = os.getenv("HOST", "0.0.0.0")
    port = os.getenv("PORT", "80")
    bind_env = os.getenv("BIND", None)
    use_loglevel = os.getenv("LOG_LEVEL", "info")
    use_bind = bind_env if bind_env else f"{host}:{port}"
    cores = multiprocessing.cpu_count()
    default_web_concurrency = float(workers_per_core_str) * cores
    web_concurrency = max(int(default_web_concurrency), 2)
    if use_max_workers:
        web_concurrency = min(web_concurrency, use_max_workers)
    accesslog_var = os.getenv("ACCESS_LOG", "-")
    use_accesslog = accesslog_var or None

    loglevel = use_loglevel
    workers = web_concurrency
    bind = use_bind
    errorlog = os.getenv("ERROR_LOG", "-") or None
    worker_tmp_dir = "/dev/shm"
    accesslog = use_accesslog
    graceful_timeout = int(os.getenv("GRACEFUL_TIMEOUT", "120"))
    timeout = int(os.getenv("TIMEOUT", "120"))
    keepalive = int(os.getenv("KEEP_ALIVE", "5"))

    log_data = {"loglevel": loglevel, "workers": workers, "bind": bind, "host": host}
    print(json.dumps(log_data))
    """,
    },
)
def image_that_prints_its_settings(server):
    """Once, as one process reads them; an access log that is switched off is off."""
    wait_workers(server, 2)
    facts(server)
    (line,) = server.stdout().splitlines()
    assert json.loads(line)["workers"] == 2


@public(
    "cwsgi --conf conf/gunicorn.py --log-leve debug --error-log app.log main:app",
    files={
        "conf/gunicorn.py": """
    import os
    from pathlib import Path

    # Variables of a file, as python-dotenv has them.
    for line in (Path(__file__).parent / "production.env").read_text().splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.partition("=")
            os.environ.setdefault(key, value.strip('"'))

    raw_env = {"RELEASE": "r7", "STAGE": "prod"}
    """,
        "conf/production.env": '# secret\nSTAGE=dev\nTOKEN="a b"\n',
    },
)
def options_cut_short_and_a_file_of_variables(server):
    env = facts(server)["env"]
    assert (env["TOKEN"], env["STAGE"], env["RELEASE"]) == ("a b", "prod", "r7")
    assert "[DEBUG]" in (server.folder / "app.log").read_text()


# ---- tools around ----


@public(
    "tracer-run cwsgi -w 1 -b 127.0.0.1:$PORT main:app",
    files={
        "bin/tracer-run": """\
        #!/bin/sh
        PYTHONPATH="$(pwd)/tracer${PYTHONPATH:+:$PYTHONPATH}" exec "$@"
        """,
        "tracer/sitecustomize.py": "import os\nos.environ['TRACED'] = str(os.getpid())\n",
    },
)
def tracer_by_sitecustomize(server):
    """As ddtrace-run and opentelemetry-instrument do it."""
    seen = facts(server)
    assert "sitecustomize" in seen["modules"]
    assert seen["env"]["TRACED"] == str(seen["pid"])


@public(
    "python admin.py run-program cwsgi main:app",
    files={
        "admin.py": """
    import os, sys

    assert sys.argv[1] == "run-program"
    os.environ["AGENT_CONFIG"] = "agent.ini"
    os.execvp(sys.argv[2], sys.argv[2:])
    """,
        "agent.py": """
    import os, sys

    def initialize(path):
        os.environ["AGENT_PID"] = str(os.getpid())
        os.environ["AGENT_FIRST"] = str("main" not in sys.modules)
    """,
        "gunicorn.conf.py": """
    import os
    import agent

    agent.initialize(os.environ["AGENT_CONFIG"])
    workers = 2
    """,
    },
)
def agent_that_a_wrapper_and_the_file_start(server):
    """As New Relic's: in each worker, before the app."""
    wait_workers(server, 2)
    seen = facts(server)
    assert "agent" in seen["modules"]
    assert seen["env"]["AGENT_PID"] == str(seen["pid"])
    assert seen["env"]["AGENT_FIRST"] == "True"


@public(
    "python -X dev -m cwsgi -w 2 --bind 127.0.0.1:$PORT main:app",
)
def python_m(server):
    wait_workers(server, 2)
    assert facts(server)["wsgi.multiprocess"] is True


@public(
    "env PROMETHEUS_MULTIPROC_DIR=metrics cwsgi -w 2 -b :$PORT main:app",
    files={
        "main.py": """
    import os
    from prometheus_client import CollectorRegistry, Gauge, generate_latest, multiprocess
    from facts import facts

    alive = Gauge("alive", "workers", multiprocess_mode="livesum")
    alive.set(1)

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        return [generate_latest(registry)]
    """,
        "gunicorn.conf.py": """
    import os, shutil
    from prometheus_client import multiprocess

    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)

    def child_exit(server, worker):
        multiprocess.mark_process_dead(worker.pid)
    """,
    },
)
def prometheus_multiprocess(server):
    first = wait_workers(server, 2)

    def alive():
        return b"alive 2.0" in server.get("/metrics").body

    wait_for(alive, "both workers to be counted")
    os.kill(min(first), signal.SIGKILL)
    wait_workers(server, 2, without=[min(first)])
    wait_for(alive, "the dead one to be taken out, its successor in")


def statsd_socket(folder, port):
    port.statsd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    port.statsd.bind(str(folder / "statsd.sock"))
    port.statsd.settimeout(10 * SLOW)
    return [port]


@public(
    "cwsgi main:app -b 127.0.0.1:$PORT --statsd-host=unix://statsd.sock --statsd-prefix=shop"
    " --dogstatsd-tags=env:prod,team:web",
    binds=statsd_socket,
)
def statsd_with_tags(server):
    facts(server)
    got = ""
    with server.binds[0].statsd as sock:
        while "shop.gunicorn.requests" not in got:
            got += sock.recv(4096).decode() + "\n"
    assert re.search(r"shop\.gunicorn\.requests:1\|c\|@1\.0\|#env:prod,team:web", got)


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


# ---- settings ----


@public(
    "cwsgi main:app",
    files={
        "gunicorn.conf.py": """
    import os

    keyfile = os.environ.get("SSL_KEY")
    certfile = os.environ.get("SSL_CERT", "")
    ca_certs = None
    cert_reqs = 0
    ssl_version = 2
    ciphers = None
    do_handshake_on_connect = False
    suppress_ragged_eofs = True
    workers = 1
    """,
    },
)
def tls_that_is_not_set(server):
    assert facts(server)["wsgi.url_scheme"] == "http"
    assert "TLS" not in server.log()


@public(
    "cwsgi main:app",
    files={
        "gunicorn.conf.py": """
    worker_class = "gthread"
    workers = 1
    threads = 4
    worker_connections = 1000
    max_requests = 0
    max_requests_jitter = 0
    timeout = 30
    graceful_timeout = 30
    keepalive = 2
    limit_request_line = 4094
    limit_request_fields = 100
    limit_request_field_size = 8190
    reload = False
    reload_engine = "auto"
    reload_extra_files = []
    spew = False
    check_config = False
    print_config = False
    preload_app = False
    sendfile = None
    reuse_port = False
    chdir = "."
    daemon = False
    raw_env = []
    pidfile = None
    worker_tmp_dir = None
    user = None
    group = None
    umask = 0
    initgroups = False
    tmp_upload_dir = None
    secure_scheme_headers = {"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https",
                             "X-FORWARDED-SSL": "on"}
    forwarded_allow_ips = "127.0.0.1"
    pythonpath = None
    paste = None
    proxy_protocol = False
    proxy_allow_ips = "127.0.0.1"
    raw_paste_global_conf = []
    strip_header_spaces = False
    accesslog = None
    disable_redirect_access_to_syslog = False
    errorlog = "-"
    loglevel = "info"
    capture_output = False
    logger_class = "gunicorn.glogging.Logger"
    logconfig = None
    logconfig_dict = {}
    syslog_addr = "udp://localhost:514"
    syslog = False
    syslog_prefix = None
    syslog_facility = "user"
    enable_stdio_inheritance = False
    statsd_host = None
    statsd_prefix = ""
    proc_name = None
    default_proc_name = "gunicorn"
    """,
    },
)
def every_setting_spelled_out(server):
    assert "1 worker x 4 threads" in server.log()
    assert server.get("/" + "x" * 4090).status == 414
    assert facts(server, "/", ("X-Forwarded-Ssl", "on"))["wsgi.url_scheme"] == "https"


def two_ports(folder, port):
    second = Port()
    (folder / "second.txt").write_text(str(second.number))
    return [port, second]


@public(
    "cwsgi -w 1 main:app",
    binds=two_ports,
    files={
        "gunicorn.conf.py": """
    import os

    bind = ["127.0.0.1:" + os.environ["PORT"], "127.0.0.1:" + open("second.txt").read()]
    """,
    },
)
def two_addresses(server):
    for number in (0, 1):
        with server.connect(number) as client:
            assert client.ask("/").status == 200


def socket_file(folder, port):
    port.close()
    return [UnixPath(folder / "shop.sock")]


@public(
    "cwsgi --access-logfile - --workers 3 --umask 007 --bind unix:shop.sock main:app",
    binds=socket_file,
    env={"PORT": None},
)
def unix_socket_for_nginx(server):
    wait_workers(server, 3)
    assert (server.folder / "shop.sock").stat().st_mode & 0o777 == 0o770
    assert facts(server, "/", ("X-Forwarded-Proto", "https"))["wsgi.url_scheme"] == "https"
    assert re.match(r'- - - \[.*\] "GET / HTTP/1.1" 200 ', stdout_lines(server, 1)[0])


@public(
    "cwsgi main:app",
    env={"FORWARDED_ALLOW_IPS": "*", "SCRIPT_NAME": "/shop", "WEB_CONCURRENCY": 1},
)
def variables_of_gunicorn(server):
    seen = facts(server, "/shop/a", ("X-Forwarded-Proto", "https"))
    assert (seen["SCRIPT_NAME"], seen["wsgi.url_scheme"]) == ("/shop", "https")


@public(
    "cwsgi main:app",
    env={"DEBUG": 1},
    files={
        "gunicorn.conf.py": """
    from os import environ as env

    debug = env.get("DEBUG", "0") == "1"
    workers = 1 if debug else 4
    reload = debug
    reload_extra_files = ["templates/index.html"]
    timeout = 0 if debug else 30
    """,
        "templates/index.html": "old",
        "main.py": "import facts\npage = open('templates/index.html').read()\n"
        "def app(e, s): return facts.app(e, s, page=page)\n",
    },
)
def reload_of_docker_compose(server):
    (pid,) = wait_workers(server, 1)
    assert facts(server)["page"] == "old"
    (server.folder / "templates" / "index.html").write_text("new")
    wait_workers(server, 1, without=[pid])
    wait_for(lambda: facts(server)["page"] == "new", "the new page")


@public(
    "cwsgi --workers=1 --bind=127.0.0.1:$PORT --timeout=1 --graceful-timeout=1 main:app",
    files={
        "main.py": "import time, facts\ndef app(e, s):\n"
        "    if e['PATH_INFO'] == '/hang': time.sleep(600)\n"
        "    return facts.app(e, s)\n",
    },
)
def timeout_replaces_a_worker(server):
    (pid,) = wait_workers(server, 1)
    with server.connect() as client:
        client.send(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
        server.wait_log("in app", 20)  # what it was doing
        wait_workers(server, 1, without=[pid])
    assert facts(server)["pid"] in worker_pids(server)


@public(
    "cwsgi -c conf/gunicorn.conf.py main:app",
    files={
        "conf/gunicorn.conf.py": """
        import os, sys

        import gunicorn

        # Hide who serves.
        gunicorn.SERVER_SOFTWARE = "none"
        gunicorn.SERVER = "none"
        sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
        workers = 1
        """,
        "main.py": "import facts, deep\ndef app(e, s): return facts.app(e, s, deep=deep.value)\n",
        "lib/deep.py": "value = 5\n",
    },
)
def a_path_that_the_file_adds(server):
    assert facts(server)["deep"] == 5
    assert server.get("/").header("Server") is None


@public(
    "cwsgi main:app",
    files={
        "gunicorn.conf.py": """
        import sys
        from multiprocessing import cpu_count

        sys.path.append("lib")

        def max_workers():
            return min(cpu_count(), 2)

        max_requests = 1000
        workers = max_workers()
        accesslog = "/dev/stdout"
        errorlog = "/dev/stderr"
        access_log_format = "%(m)s %(U)s %(D)d"
        """,
        "main.py": "import facts, deep\ndef app(e, s): return facts.app(e, s, deep=deep.value)\n",
        "lib/deep.py": "value = 6\n",
    },
)
def devices_for_logs(server):
    assert facts(server, "/a")["deep"] == 6
    assert re.fullmatch(r"GET /a \d+", stdout_lines(server, 1)[0])
    server.wait_log(f"Listening at: http://0.0.0.0:{server.binds[0].number}")


@public(
    "cwsgi -w 1 main:app",
    files={
        "gunicorn.conf.py": """
        import logging

        accesslog = "/dev/stdout"
        access_log_format = "%(U)s"
        logging.getLogger("gunicorn.access").addFilter(lambda record: record.args["U"] != "/up")
        """
    },
)
def devices_for_logs_and_a_filter(server):
    for path in ("/up", "/", "/up", "/b"):
        facts(server, path)
    assert stdout_lines(server, 2) == ["/", "/b"]


@public(
    "cwsgi -w 2 main:app",
    files={
        "gunicorn.conf.py": """
        import threading, time

        def on_starting(server):
            server.log.info("Starting the scheduler")
            stop = threading.Event()

            def run():
                turns = 0
                while not stop.wait(0.01):
                    turns += 1
                    with open("turns.txt", "w") as file:
                        file.write(str(turns))

            threading.Thread(target=run, daemon=True).start()
            server.scheduler = stop

        def when_ready(server):
            open("app-initialized", "w").close()

        def on_exit(server):
            server.scheduler.set()
            server.log.info("Stopped the scheduler")
        """
    },
)
def one_scheduler_beside_the_workers(server):
    """Once, however many workers there are, for as long as the server lives."""
    turns = server.folder / "turns.txt"
    wait_for(lambda: turns.exists() and int(turns.read_text() or 0) > 20, "it to go on")
    wait_for((server.folder / "app-initialized").exists, "the file")
    server.stop()
    assert server.log().count("Starting the scheduler") == 1
    assert server.log().count("Stopped the scheduler") == 1


@public(
    "cwsgi --bind 127.0.0.1:$PORT ${EXTRA_ARGS} main:app",
    env={"WEB_CONCURRENCY": "", "GUNICORN_CMD_ARGS": "", "FORWARDED_ALLOW_IPS": ""},
    files={
        "gunicorn.conf.py": "\ufeffworkers = 2\r\nloglevel = 'INFO'\r\nproc_name = 'caf\u00e9'\r\n"
    },
)
def empty_variables_and_a_file_of_windows(server):
    wait_workers(server, 2)
    assert facts(server)["wsgi.multiprocess"] is True


@public(
    "cwsgi main:app",
    files={
        "gunicorn.conf.py": """
        import gunicorn.glogging, logging.config
        from settings import LOGGING

        logconfig_dict = dict(
            LOGGING, formatters={"own": {"format": "%(levelname)s:%(name)s:%(message)s"}}
        )
        loglevel = "warning"
        workers = 1
        access_log_format = "%(U)s %(s)s"
        """,
        "settings.py": """
        LOGGING = {
            "version": 1,
            "disable_existing_loggers": True,
            "root": {"level": "WARNING", "handlers": ["console"]},
            "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "own"}},
            "loggers": {"gunicorn.access": {"level": "INFO", "handlers": [], "propagate": True}},
        }
        """,
    },
)
def dict_of_a_settings_module(server):
    """Access lines go up to the root logger's handler."""
    facts(server, "/log")
    server.wait_log("INFO:gunicorn.access:/log 200")
    assert "WARNING:shop.views:sold out" in server.log()


@public(
    "cwsgi main:app",
    files={
        "gunicorn.conf.py": """
        import os

        os.chdir("/")  # of no use, as gunicorn has it

        def post_fork(server, worker):
            os.environ["THERE"] = os.getcwd()
        """
    },
)
def a_folder_that_the_file_changes(server):
    seen = facts(server)
    assert seen["env"]["THERE"] == seen["cwd"] == str(server.folder)


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_public_configs(start, one):
    one.check(start(one))
