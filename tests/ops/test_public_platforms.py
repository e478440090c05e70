"""Command lines and files of platforms, projects and the tools around a server (public.py)."""

import json
import os
import re
import signal
import socket

import psutil
import pytest
from client import SLOW, wait_for
from ops import titled, wait_workers
from public import FACTS, MAIN, Cases, facts, start, stdout_lines

public = Cases()


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


@pytest.mark.parametrize("one", public, ids=lambda one: one.name)
def test_public_platforms(serve, tmp_path, one):
    one.check(start(serve, tmp_path, one))
