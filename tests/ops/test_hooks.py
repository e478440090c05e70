"""Hooks of a gunicorn.conf.py on a running server, and prometheus_client with them."""

import json
import os
import re
import signal
import textwrap

import psutil
from client import request, wait_for
from ops import titled, wait_workers
from server import APPS

EVERY_HOOK = """
import os, sys
sys.path.insert(0, {apps!r})
from common import mark

def on_starting(server): mark("hooks", f"on_starting {{server.pid}} {{server.num_workers}}")
def on_reload(server): mark("hooks", "on_reload")
def when_ready(server): mark("hooks", "when_ready")
def pre_fork(server, worker): mark("hooks", f"pre_fork {{worker.age}}")
def post_fork(server, worker): mark("hooks", f"post_fork {{worker.age}} {{worker.pid}}")
def post_worker_init(worker):
    mark("hooks", f"post_worker_init {{callable(worker.app.callable)}} {{worker.cfg.threads}}")
def worker_int(worker): mark("hooks", f"worker_int {{worker.pid}}")
def worker_abort(worker): mark("hooks", f"worker_abort {{worker.pid}}")
def worker_exit(server, worker): mark("hooks", f"worker_exit {{worker.pid}}")
def child_exit(server, worker):
    mark("hooks", f"child_exit {{worker.pid}} {{worker.pid in server.WORKERS}}")
def nworkers_changed(server, new, old): mark("hooks", f"nworkers_changed {{new}} {{old}}")
def on_exit(server): mark("hooks", "on_exit")
def pre_exec(server): mark("hooks", "pre_exec")
def pre_request(worker, req):
    mark("hooks", f"pre_request {{req.method}} {{req.uri}} {{req.path}} {{req.query}}")
    worker.log.info("before %s", req.path)
def post_request(worker, req, environ, resp):
    mark("hooks", f"post_request {{req.path}} {{environ['PATH_INFO']}} {{resp.status}}")
"""


def conf(folder, text):
    path = folder / "hooks.conf.py"
    path.write_text(textwrap.dedent(text))
    return path


def hooks(server):
    return server.marks("hooks")


def wait_hook(server, line, count=1):
    wait_for(
        lambda: sum(bool(re.fullmatch(line, mark)) for mark in hooks(server)) >= count,
        lambda: f"{count} of {line}: {hooks(server)}\n{server.log()}",
    )


def test_every_hook_is_called(serve, tmp_path):
    path = conf(tmp_path, EVERY_HOOK.format(apps=str(APPS)))
    server = serve("ops:app", "-c", path)
    (pid,) = wait_workers(server, 1)
    wait_hook(server, "when_ready")  # Called when the port is open already.
    assert server.get("/who?a=1").status == 200
    wait_hook(server, "post_request /who /who 200 OK")
    assert hooks(server) == [
        f"on_starting {server.pid} 1",
        "nworkers_changed 1 None",
        "pre_fork 1",
        f"post_fork 1 {pid}",
        "post_worker_init True 8",
        "when_ready",
        "pre_request GET /who?a=1 /who a=1",
        "post_request /who /who 200 OK",
    ]
    assert re.search(rf"\[{pid}\] \[INFO\] before /who$", server.log(), re.M)
    server.send_signal(signal.SIGTTIN)
    wait_hook(server, "nworkers_changed 2 1")
    wait_workers(server, 2)
    wait_hook(server, "post_worker_init .*", 2)
    server.send_signal(signal.SIGHUP)
    wait_hook(server, "on_reload")
    wait_hook(server, f"worker_exit {pid}")
    wait_hook(server, f"child_exit {pid} False")
    wait_for(lambda: len(titled(server, "worker")) == 1, "one worker")
    (pid,) = wait_workers(server, 1)
    os.kill(pid, signal.SIGABRT)
    wait_hook(server, f"worker_abort {pid}")
    wait_hook(server, f"child_exit {pid} False")
    (pid,) = wait_workers(server, 1, without=[pid])
    wait_hook(server, "post_worker_init .*", 4)
    wait_for(lambda: server.get("/who").status == 200, "service")
    server.stop(signal.SIGINT)
    assert f"worker_int {pid}" in hooks(server)
    assert hooks(server)[-1] == "on_exit"


def test_hooks_of_a_worker_that_is_replaced_for_a_late_request(serve, tmp_path):
    """As with gunicorn: worker_abort in the worker, and no clean end for child_exit."""
    text = EVERY_HOOK.format(apps=str(APPS)).replace(
        "{worker.pid in server.WORKERS}", "{worker.exitcode}"
    )
    server = serve("ops:app", "-c", conf(tmp_path, text), "--timeout", "1")
    (pid,) = wait_workers(server, 1)
    client = server.connect()
    client.send(request("/wait"))
    wait_hook(server, f"worker_abort {pid}")
    log = server.log()
    assert log.index("WORKER TIMEOUT") < log.index("Python stacks of all threads")
    server.open_gate("wait")
    assert client.response().body == b"waited"
    wait_hook(server, f"child_exit {pid} 1")
    assert hooks(server).count(f"worker_abort {pid}") == 1


def test_pre_request_changes_what_the_app_sees(serve, tmp_path):
    path = conf(
        tmp_path,
        """
        def pre_request(worker, req):
            req.scheme = "https"
            req.mine = 5
            if req.path == "/old%20one":
                req.path, req.query, req.method = "/new%20one", "a=1", "PUT"

        def post_request(worker, req, environ, resp):
            worker.log.info("mine: %s", req.mine)
        """,
    )
    server = serve("envdump:dump", "-c", path)
    seen = json.loads(server.get("/old%20one").body)
    names = ("wsgi.url_scheme", "PATH_INFO", "QUERY_STRING", "REQUEST_METHOD", "RAW_URI")
    assert [seen[name][1] for name in names] == ["https", "/new one", "a=1", "PUT", "/old%20one"]
    server.wait_log("mine: 5")


def test_what_the_masters_hooks_keep_is_not_in_workers(serve, tmp_path):
    path = conf(
        tmp_path,
        """
        def pre_fork(server, worker): server.number = 1
        def post_fork(server, worker): print(server.number)
        """,
    )
    server = serve("ops:app", "-c", path, wait=False)
    server.expected_exit = {1}
    assert server.wait_exit() == 1
    assert "server has no attribute 'number': what hooks of the master" in server.log()


def test_no_helper_without_hooks_of_the_master(serve, tmp_path):
    path = conf(tmp_path, "def post_fork(server, worker): pass\n")
    server = serve("ops:app", "-c", path)
    wait_workers(server, 1)
    assert len(server.workers()) == 1


def test_failing_hooks(serve, tmp_path):
    """What a hook raises is logged; requests are answered all the same."""
    path = conf(
        tmp_path,
        """
        def on_starting(server): raise ValueError("from on_starting")
        def child_exit(server, worker): raise ValueError("from child_exit")
        def pre_request(worker, req): raise ValueError("from pre_request")
        def post_request(worker, req, environ, resp): raise ValueError("from post_request")
        """,
    )
    server = serve("ops:app", "-c", path)
    (pid,) = wait_workers(server, 1)
    assert server.get("/who").status == 200
    for name in ("on_starting", "pre_request", "post_request"):
        server.wait_log(f"from {name}")
    os.kill(pid, signal.SIGKILL)
    wait_workers(server, 1, without=[pid])
    server.wait_log("from child_exit")


def test_post_fork_that_fails_ends_the_start(serve, tmp_path):
    path = conf(tmp_path, "def post_fork(server, worker): raise ValueError('no')\n")
    server = serve("ops:app", "-c", path, wait=False)
    server.expected_exit = {1}
    assert server.wait_exit() == 1
    assert "ValueError: no" in server.log()


def test_the_helper_may_die(serve, tmp_path):
    """Without it the service goes on."""
    path = conf(tmp_path, "def child_exit(server, worker): print('gone', flush=True)\n")
    server = serve("ops:app", "-c", path)
    (pid,) = wait_workers(server, 1)
    (helper,) = {p.pid for p in server.workers()} - {pid}
    psutil.Process(helper).kill()
    os.kill(pid, signal.SIGKILL)
    wait_workers(server, 1, without=[pid])
    wait_for(lambda: server.get("/who").status == 200, "service")


def test_hooks_with_preload(serve, tmp_path):
    path = conf(tmp_path, EVERY_HOOK.format(apps=str(APPS)))
    server = serve("ops:app", "--preload", "-c", path, workers=2)
    pids = wait_workers(server, 2)
    wait_hook(server, "post_worker_init True 8", 2)
    forked = {line.split()[2] for line in hooks(server) if line.startswith("post_fork")}
    assert forked == set(map(str, pids))
    assert server.get("/who").status == 200


def test_prometheus_multiprocess(serve, tmp_path):
    """Counts of all workers are summed, and gauges of dead ones are dropped."""
    folder = tmp_path / "prometheus"
    folder.mkdir()
    path = conf(
        tmp_path,
        """
        from prometheus_client import multiprocess

        def child_exit(server, worker):
            multiprocess.mark_process_dead(worker.pid)
        """,
    )
    server = serve(
        "prometheus:app", "-c", path, workers=2, env={"PROMETHEUS_MULTIPROC_DIR": folder}
    )
    pids = wait_workers(server, 2)

    def both_counted():
        with server.connect() as one, server.connect() as two:
            one.send(request("/count"))
            two.send(request("/count"))
            one.response(), two.response()
        # A file that is just being made is empty, which the library cannot read.
        whole = all(path.stat().st_size for path in folder.glob("*.db"))
        return whole and len(list(folder.glob("gauge_live*.db"))) == 2

    wait_for(both_counted, "both workers to count")
    text = server.get("/metrics").body.decode()
    before = float(re.search(r"^hits_total (\d+\.\d+)$", text, re.M)[1])
    victim = min(pids)
    os.kill(victim, signal.SIGKILL)
    wait_for(
        lambda: not list(folder.glob(f"gauge_live*_{victim}.db")), "the dead one's gauge to go"
    )
    text = server.get("/metrics").body.decode()
    assert float(re.search(r"^hits_total (\d+\.\d+)$", text, re.M)[1]) == before


def test_hooks_of_a_module(serve, tmp_path):
    """-c python:MODULE is found where cwsgi was started, whatever --chdir says."""
    server_folder = tmp_path / "server0"
    server_folder.mkdir()
    (server_folder / "my_settings.py").write_text(
        "def on_starting(server): server.log.info('master %s', server.cfg.threads)\n"
        "def post_fork(server, worker): worker.log.info('worker %s', worker.cfg.threads)\n"
        "threads = 5\n"
    )
    server = serve("ops:app", "-c", "python:my_settings", threads=None)
    wait_workers(server, 1)
    assert "[INFO] master 5" in server.log()
    assert "[INFO] worker 5" in server.log()
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded")


def test_reload_keeps_what_hooks_know(serve, tmp_path):
    """One server object and one helper for the supervisor's life; new functions."""
    path = conf(
        tmp_path,
        "def on_starting(server): server.kept = 'kept'\n"
        "def on_reload(server): server.log.info('old %s', server.kept)\n",
    )
    server = serve("ops:app", "-c", path)
    wait_workers(server, 1)
    conf(tmp_path, "def on_reload(server): server.log.info('new %s', server.kept)\n")
    server.send_signal(signal.SIGHUP)
    server.wait_log("new kept")
    conf(tmp_path, "")
    server.send_signal(signal.SIGHUP)
    wait_for(lambda: len(server.workers()) == 1, "the helper to end")


def test_hooks_write_to_the_error_log(serve, tmp_path):
    path = conf(
        tmp_path,
        """
        def on_starting(server): server.log.info("from the master")
        def post_fork(server, worker): worker.log.warning("from the worker")
        """,
    )
    log = tmp_path / "error.log"
    server = serve("ops:app", "-c", path, "--error-logfile", log)
    wait_workers(server, 1)
    assert "[INFO] from the master" in log.read_text()
    assert "[WARNING] from the worker" in log.read_text()
    assert server.log() == ""
