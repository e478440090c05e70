"""Settings as public files and variables have them (public.py)."""

import re

import pytest
from client import wait_for
from ops import wait_workers, worker_pids
from public import Cases, facts, start, stdout_lines
from server import Port, UnixPath

public = Cases()


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


@pytest.mark.parametrize("one", public, ids=lambda one: one.name)
def test_public_settings(serve, tmp_path, one):
    one.check(start(serve, tmp_path, one))
