"""ASGI apps from start to stop: lifespan, kinds of apps, reload, deadlines, drain."""

import json
import os
import signal
import threading

import pytest
from client import request, wait_for
from server import APPS, TSAN, run, worker_pids


@pytest.fixture
def start(tmp_path):
    def start(*words):
        words = ["-b", "127.0.0.1:0", "--chdir", APPS, *words]
        return run(*words, env={"CWSGI_TEST_DIR": tmp_path})

    return start


def both_serving(server):
    """Wait until both workers have answered, and return their pids."""
    seen = set()

    def look():
        seen.add(json.loads(server.get("/loop").body)["pid"])
        return len(seen) == 2

    wait_for(look, "both workers to serve", 30)
    return seen


def test_lifespan(serve, loop):
    server = serve("asgiapp:app", "--loop", loop)
    assert server.marks("lifespan") == ["lifespan.startup"]
    assert server.get("/").status == 200
    assert server.stop() == 0
    assert server.marks("lifespan") == ["lifespan.startup", "lifespan.shutdown"]


def test_lifespan_off(serve):
    server = serve("asgiapp:app", "--lifespan", "off")
    assert json.loads(server.get("/state").body) == {}
    assert server.stop() == 0
    assert server.marks("lifespan") == []


def test_an_app_without_lifespan(serve, loop):
    server = serve("asgikinds:without_lifespan", "--loop", loop)
    assert server.get("/").body == b"Hello, ASGI!\n"


def test_lifespan_that_is_missed(start):
    done = start("--lifespan", "on", "asgikinds:without_lifespan")
    assert done.returncode == 3
    assert "The start-up of the app failed: AssertionError: lifespan" in done.stderr


@pytest.mark.parametrize("more", [[], ["--preload"], ["-w", "2"]])
def test_a_failed_start_is_told(start, more):
    done = start(*more, "asgikinds:failing")
    assert done.returncode == 3
    assert "The start-up of the app failed: no database" in done.stderr


def test_a_start_that_raises_is_no_lifespan(serve):
    """As the specification has it; --lifespan on is for who wants to know."""
    server = serve("asgikinds:raising_at_start", "--log-level", "debug")
    server.wait_log("RuntimeError: broken start")


def test_a_start_without_memory_is_no_missing_lifespan(start):
    done = start("asgikinds:without_memory")
    assert done.returncode == 3
    assert "The start-up of the app failed: MemoryError\n" in done.stderr


def test_a_start_does_not_wait_for_what_the_loop_forgot(start, loop):
    done = start("--loop", loop, "asgikinds:losing_a_callback")
    assert done.returncode == 3
    assert "The start-up of the app failed" in done.stderr
    assert "MemoryError: the event loop has lost a task" in done.stderr


def test_an_end_does_not_wait_for_what_the_loop_forgot(serve, loop):
    server = serve("asgikinds:losing_at_its_end", "--loop", loop)
    assert server.get("/").status == 200
    assert server.stop() == 0
    assert "MemoryError: the event loop has lost a task" in server.log()
    assert "the app's shutdown did not end in" not in server.log()


def test_a_slow_end_is_cut_off(serve, loop):
    server = serve("asgikinds:slow_end", "--loop", loop, "--graceful-timeout", "1")
    assert server.get("/").status == 200
    assert server.stop() == 0
    assert server.marks("ending")
    assert "the app's shutdown did not end in" in server.log()


@pytest.mark.parametrize("app", ["instance", "make()", "undecorated"])
def test_kinds_of_apps(serve, app):
    options = ["--interface", "asgi"] if app == "undecorated" else []
    server = serve(f"asgikinds:{app}", *options)
    assert server.get("/").body == b"Hello, ASGI!\n"


def test_asgi_2_is_told(start):
    done = start("asgikinds:old")
    assert done.returncode == 4
    assert "it is an app of ASGI 2" in done.stderr


def test_wsgi_that_is_told_to_be_asgi(serve):
    server = serve("hello:app", "--interface", "asgi")
    assert server.get("/").status == 500


def test_no_uvloop(start, tmp_path):
    (tmp_path / "uvloop.py").write_text("raise ImportError('none here')\n")
    done = start("--pythonpath", tmp_path, "--loop", "uvloop",
        "asgiapp:app",
    )  # fmt: skip
    assert done.returncode == 3
    assert "--loop uvloop: none here; pip install uvloop" in done.stderr


def test_wsgi_workers_do_not_know_asyncio(serve):
    server = serve("doors:app")
    modules = json.loads(server.get("/modules").body)
    assert "asyncio" not in modules and "cwsgi._asgi" not in modules


def test_requests_are_finished_at_the_end(serve, loop):
    server = serve("asgiapp:app", "--loop", loop)
    client = server.connect()
    client.send(request("/gate"))
    server.wait_marks("runs")
    server.send_signal(signal.SIGTERM)
    server.wait_log("Shutting down")
    server.open_gate("go")
    assert client.response().body == b"went on\n"
    assert server.wait_exit() == 0
    assert server.marks("lifespan")[-1] == "lifespan.shutdown"


def test_work_after_the_response_is_waited_for(serve, loop):
    server = serve("asgiapp:app", "--loop", loop)
    assert server.get("/background").body == b"answered\n"
    server.send_signal(signal.SIGTERM)
    server.wait_log("Shutting down")
    server.open_gate("go")
    assert server.wait_exit() == 0
    assert server.marks("background")


def test_what_does_not_end_is_cancelled(serve, loop):
    server = serve("asgiapp:app", "--loop", loop, "--graceful-timeout", "1.2")
    client = server.connect()
    client.send(request("/forever"))
    server.wait_marks("runs")
    assert server.stop() == 0
    assert server.marks("cancelled")
    assert "graceful timeout: 1 requests cancelled" in server.log()
    assert server.marks("lifespan")[-1] == "lifespan.shutdown"
    assert client.response().status == 500


def test_tasks_of_the_app_are_cancelled(serve, loop):
    server = serve("asgiapp:app", "--loop", loop)
    assert server.get("/orphan").status == 200
    assert server.stop() == 0
    assert server.marks("orphan")


def test_a_blocked_loop_is_cut_off(serve):
    server = serve("asgiapp:app", "--graceful-timeout", "1")
    client = server.connect()
    client.send(request("/block"))
    server.wait_marks("blocks")
    assert server.stop() == 0
    assert "graceful timeout: 1 connections cut off" in server.log()


def test_stop_before_the_port_opens(serve, loop):
    """An app that was told of its start is told of its end, too."""
    server = serve("asgiapp:app", "--loop", loop, "--warmup", "/gate", wait=False)
    server.wait_marks("runs")
    server.send_signal(signal.SIGTERM)
    server.open_gate("go")
    assert server.wait_exit() == 0
    assert server.marks("lifespan") == ["lifespan.startup", "lifespan.shutdown"]


def test_interrupt(serve, loop):
    server = serve("asgiapp:app", "--loop", loop)
    assert server.get("/").status == 200
    assert server.stop(signal.SIGINT) == 0
    assert server.marks("lifespan")[-1] == "lifespan.shutdown"


def test_request_timeout(serve, loop):
    server = serve("asgiapp:app", "--loop", loop, "--request-timeout", "0.5")
    client = server.connect()
    client.send(request("/forever"))
    assert client.response().status == 504
    server.wait_marks("cancelled")
    server.wait_log("REQUEST TIMEOUT: cancelling the task")
    server.wait_log("await asyncio.Event().wait()")
    assert server.get("/").status == 200


def test_limit_concurrency(serve, loop):
    server = serve("asgiapp:app", "--loop", loop, "--limit-concurrency", "2")
    clients = [server.connect() for _ in range(2)]
    for client in clients:
        client.send(request("/gate"))
    server.wait_marks("runs", 2)
    assert server.get("/").status == 503
    server.open_gate("go")
    for client in clients:
        assert client.response().body == b"went on\n"
    assert server.get("/").status == 200


def test_max_requests(serve, loop):
    server = serve("asgiapp:app", "--loop", loop, "--max-requests", "5")
    before = worker_pids(server)
    for _ in range(12):
        assert server.get("/").status == 200
    wait_for(lambda: worker_pids(server) and not worker_pids(server) & before, "a new worker")


def test_reload_loses_nothing(serve, loop):
    server = serve("asgiapp:app", "--loop", loop, workers=2)
    before = both_serving(server)
    failures, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                assert server.get("/").body == b"Hello, ASGI!\n"
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        server.send_signal(signal.SIGHUP)
        wait_for(lambda: not worker_pids(server) & before, "the old workers to end", 20)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert server.marks("lifespan").count("lifespan.shutdown") >= 2


def test_preload(serve, loop):
    server = serve("asgiapp:app", "--loop", loop, "--preload", workers=2)
    for _ in range(10):
        assert server.get("/").status == 200


def test_warm_up(serve, loop):
    server = serve("asgiapp:app", "--loop", loop, "--warmup", "/contexts", "--warmup", "/echo")
    assert "warm-up of /contexts answered 200 OK" in server.log()
    assert server.get("/").status == 200


def test_warm_up_that_fails(start):
    done = start("--warmup", "/raising", "asgiapp:app")
    assert done.returncode == 3
    assert "warm-up of /raising answered 500" in done.stderr


def test_wsgi_and_asgi_side_by_side(serve, loop):
    server = serve(
        None, "--loop", loop, "--mount", "/a=asgiapp:app", "--mount", "/w=envdump:app",
        "--mount", "/b=asgikinds:instance",
    )  # fmt: skip
    scope = json.loads(server.get("/a/scope").body)["scope"]
    assert (scope["path"], scope["root_path"]) == ("/a/scope", "/a")
    assert server.get("/b/").body == b"Hello, ASGI!\n"
    assert server.get("/none").status == 404
    environ = json.loads(server.get("/w/x").body)
    assert environ["environ"]["SCRIPT_NAME"] == "/w" if "environ" in environ else environ
    clients = [server.connect() for _ in range(6)]
    for i, client in enumerate(clients):
        client.send(request("/a/gate" if i % 2 else "/w/x"))
    for i, client in enumerate(clients):
        if not i % 2:
            assert client.response().status == 200
    server.open_gate("go")
    for i, client in enumerate(clients):
        if i % 2:
            assert client.response().body == b"went on\n"


def test_blocked_wsgi_threads_and_a_blocked_loop(serve):
    server = serve(
        None, "--mount", "/a=asgiapp:app", "--mount", "/w=observed:app", "--health", "/live",
        threads=2,
    )  # fmt: skip
    waiting = [server.connect() for _ in range(3)]
    for client in waiting:
        client.send(request("/w/wait?go"))
    blocked = server.connect()
    blocked.send(request("/a/block"))
    server.wait_marks("blocks")
    assert server.get("/live").status == 200
    server.open_gate("go")
    for client in waiting:
        assert client.response().status == 200
    assert blocked.response().body == b"unblocked\n"


def test_access_log_and_metrics(serve, loop):
    server = serve("asgiapp:app", "--loop", loop, "--access-logfile", "-", "--metrics", "/metrics")
    for path in ("/", "/large?10", "/raising"):
        server.get(path)
    wait_for(lambda: server.stdout().count("HTTP/1.1") == 3, "three lines")
    assert '"GET /large?10 HTTP/1.1" 200 10' in server.stdout()
    assert '"GET /raising HTTP/1.1" 500' in server.stdout()
    text = server.get("/metrics").body.decode()
    assert 'cwsgi_requests_total{status="2xx"' in text or "cwsgi_requests_total" in text


def test_timeout_replaces_a_worker_whose_loop_is_blocked(serve):
    server = serve("asgiapp:app", "--timeout", "1")
    before = worker_pids(server)
    blocked, waiting = server.connect(), server.connect()
    waiting.send(request("/gate"))
    server.wait_marks("runs")
    blocked.send(request("/block"))
    server.wait_log("in wait_gate", 20)
    wait_for(lambda: worker_pids(server) - before, "a new worker", 20)
    # The old one may still finish what it has.
    server.open_gate("go")
    assert waiting.response().body == b"went on\n"
    wait_for(lambda: not worker_pids(server) & before, "the old one to end", 20)
    assert server.get("/").status == 200


def test_timeout_is_not_for_those_that_wait(serve):
    server = serve("asgiapp:app", "--timeout", "0.5")
    before = worker_pids(server)
    client = server.connect()
    client.send(request("/gate"))
    server.wait_marks("runs")
    # Longer than the timeout, as the server itself counts it.
    for _ in range(3):
        quick = server.connect()
        quick.send(request("/leaving"))
        assert quick.quiet(0.5)
        quick.close()
    server.open_gate("go")
    assert client.response().body == b"went on\n"
    assert worker_pids(server) == before


def test_a_blocked_worker_leaves_connections_to_others(serve):
    server = serve("asgiapp:app", workers=2)
    both_serving(server)
    blocked = server.connect()
    blocked.send(request("/block"))
    server.wait_marks("blocks")
    for _ in range(40):
        assert server.get("/").body == b"Hello, ASGI!\n"
    server.open_gate("go")
    assert blocked.response().body == b"unblocked\n"


def test_a_blocked_loop_is_told_once(serve):
    server = serve("asgiapp:app", "--block-warning", "0.3")
    client = server.connect()
    client.send(request("/block"))
    server.wait_log("the event loop has been blocked for")
    server.wait_log("in wait_gate")
    server.open_gate("go")
    assert client.response().body == b"unblocked\n"
    assert server.log().count("the event loop has been blocked for") == 1
    assert server.get("/").status == 200


@pytest.mark.parametrize("app", ["asgiapp:app", "envdump:app"])
def test_root_path(serve, app):
    server = serve(None, "--root-path", "/api/v1", "--mount", f"/={app}", "--mount", f"/m={app}")
    got = json.loads(server.get("/x?q").body)
    mounted = json.loads(server.get("/m/x").body)
    if "scope" in got:
        got, mounted = got["scope"], mounted["scope"]
        assert (got["root_path"], got["path"], got["raw_path"]) == ("/api/v1", "/api/v1/x", "/x")
        assert (mounted["root_path"], mounted["path"]) == ("/api/v1/m", "/api/v1/m/x")
    else:
        assert (got["SCRIPT_NAME"][1], got["PATH_INFO"][1]) == ("/api/v1", "/x")
        assert (mounted["SCRIPT_NAME"][1], mounted["PATH_INFO"][1]) == ("/api/v1/m", "/x")


def test_factory(serve):
    server = serve("asgikinds:make", "--factory")
    assert server.get("/").body == b"Hello, ASGI!\n"


@pytest.mark.parametrize(
    "name", ["uvicorn.workers.UvicornWorker", "uvicorn_worker.UvicornWorker", "asgi"]
)
def test_gunicorns_worker_classes(serve, name):
    server = serve("asgiapp:app", "-k", name)
    assert server.get("/").body == b"Hello, ASGI!\n"


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--interface=rsgi", "--interface: 'rsgi' is not auto, wsgi or asgi"),
        ("--loop=trio", "--loop: 'trio' is not auto, asyncio or uvloop"),
        ("--lifespan=maybe", "--lifespan: 'maybe' is not auto, on or off"),
        ("--root-path=api", "--root-path: 'api' does not begin with '/'"),
    ],
)
def test_values_that_are_none(start, option, text):
    done = start(option, "asgiapp:app")
    assert done.returncode == 1
    assert text in done.stderr


@pytest.mark.parametrize("app", ["asgi", "wsgi"])
def test_functions_that_are_awaited(serve, tmp_path, app):
    source = (
        "import asyncio, cwsgi\n"
        "from common import mark\n"
        "from asgiapp import app as asgi\n"
        "from hello import app as wsgi\n"
        "@cwsgi.on_startup\n"
        "async def up():\n"
        "    await asyncio.sleep(0)\n"
        "    mark('up')\n"
        "@cwsgi.on_shutdown\n"
        "async def down():\n"
        "    await asyncio.sleep(0)\n"
        "    mark('down')\n"
    )
    (tmp_path / "functions.py").write_text(source)
    server = serve(f"functions:{app}", "--pythonpath", APPS, chdir=tmp_path)
    assert server.get("/").status == 200
    assert server.marks("up")
    assert server.stop() == 0
    assert server.marks("down")


def test_an_awaited_function_that_fails(start, tmp_path):
    (tmp_path / "fails.py").write_text(
        "import cwsgi\n"
        "from asgiapp import app\n"
        "@cwsgi.on_startup\n"
        "async def up():\n"
        "    raise ValueError('no database')\n"
    )
    done = start("--pythonpath", tmp_path, "fails:app")
    assert done.returncode == 3
    assert "on_startup function fails.up failed: ValueError: no database" in done.stderr


def test_forked_children_are_not_the_server(serve, tmp_path):
    source = (
        "import os\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] != 'http':\n"
        "        raise ValueError\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        return\n"
        "    os.waitpid(pid, 0)\n"
        "    await send({'type': 'http.response.start', 'status': 200})\n"
        "    await send({'type': 'http.response.body', 'body': b'parent'})\n"
    )
    (tmp_path / "forks.py").write_text(source)
    server = serve("forks:app", chdir=tmp_path)
    for _ in range(3):
        assert server.get("/").body == b"parent"


@pytest.mark.skipif(TSAN, reason="waits end now and then, for TSan's sake (event.c)")
def test_idle_costs_no_wakeups(serve):
    """A worker that waits does not turn."""
    server = serve("asgiapp:app")
    assert server.get("/").status == 200
    worker = server.worker()

    def switches():
        tasks = f"/proc/{worker.pid}/task"
        total = 0
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/status") as status:
                total += sum(int(line.split()[1]) for line in status if "voluntary_ctxt" in line)
        return total

    seen = [-1]

    def rests():
        now = switches()
        same, seen[0] = now == seen[0], now
        return same

    wait_for(rests, "the worker to rest", 10, step=0.5)


def test_a_loop_that_fails_goes_on(serve):
    server = serve("asgiapp:app")
    pid = server.get("/loop-fails?3").body
    wait_for(lambda: server.log().count("MemoryError: of the test") == 3, "the failures")
    assert server.log().count("Exception in the event loop, which goes on") == 3
    assert server.get("/loop-fails?0").body == pid


def test_a_loop_that_fails_for_ever_ends_its_worker(serve):
    server = serve("asgiapp:app")
    pid = server.get("/loop-fails?100000").body

    def is_another():
        try:
            return server.get("/loop-fails?0").body not in (b"", pid)
        except (OSError, AssertionError):
            return False

    wait_for(is_another, "another worker", 30)
    assert "Exception in the event loop, which ends this worker" in server.log()
