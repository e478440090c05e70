"""When the port opens and when it closes: warm-up, start-up functions, service managers."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest
from client import SLOW, request, wait_for
from ops import Load, wait_workers
from server import APPS, Port, UnixPath, clean_env, program, run, timed


def test_port_opens_after_start_up_and_warm_up(serve):
    server = serve("warm:app", "--warmup", "/first?x=1", "--warmup=/second%20one", wait=False)
    server.wait_marks("startup", 2)
    assert server.binds[0].refuses()
    # Both run at once: each waits for the other.
    server.open_gate("startup")
    server.wait_marks("warm", 1)
    assert server.binds[0].refuses()
    server.open_gate("warm")
    server.wait_ready()
    assert server.marks("warm") == ["GET /first x=1", "GET /second one "]
    assert "warm-up of /first?x=1 answered 200 OK in" in server.log()
    # A second worker warms up, too.
    server.send_signal(signal.SIGTTIN)
    server.wait_marks("warm", 4)


@pytest.mark.parametrize(
    "options, said",
    [
        (["--warmup", "/fails"], "warm-up of /fails answered 503"),
        (["--warmup", "/raises"], "RuntimeError: cold"),
    ],
)
def test_warm_up_that_fails_ends_the_start(serve, options, said):
    server = serve("warm:app", *options, wait=False)
    server.expected_exit = {3}
    server.open_gate("startup")
    assert server.wait_exit() == 3
    assert said in server.log()
    assert server.binds[0].refuses()


def test_start_up_function_that_fails_ends_the_start(serve):
    server = serve("warm:app", wait=False, env={"BREAK_STARTUP": "1"})
    server.expected_exit = {3}
    server.open_gate("startup")
    assert server.wait_exit() == 3
    assert "RuntimeError: no database" in server.log()


def test_failed_warm_up_of_a_reload_keeps_the_old(serve):
    server = serve("warm:app", "--warmup", "/version", wait=False)
    server.open_gate("startup")
    server.open_gate("warm")
    server.wait_ready()
    (server.state / "version-fails").touch()
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reload failed")
    assert server.get("/version").status == 503  # The old one, which reads the file, too.
    assert server.get("/first").status == 200


def test_on_shutdown(serve):
    """The last registered first, after the last request, within the grace."""
    server = serve("warm:app", wait=False)
    server.open_gate("startup")
    server.open_gate("warm")
    server.wait_ready()
    client = server.connect()
    client.send(request("/wait"))
    server.wait_marks("waiting")
    server.send_signal(signal.SIGTERM)
    wait_for(server.binds[0].refuses, "the port to close")
    assert server.marks("shutdown") == []
    server.open_gate("wait")
    assert client.response().body == b"waited"
    assert server.wait_exit() == 0
    assert server.marks("shutdown") == ["two", "one"]


def test_on_shutdown_is_bounded(serve):
    server = serve("warm:app", "--graceful-timeout", "1", wait=False, env={"HANG_SHUTDOWN": "1"})
    server.open_gate("startup")
    server.wait_ready()
    status, seconds = timed(server.stop)
    assert status == 0
    assert seconds < 3 + 3 * SLOW


def test_listen_early(serve):
    """Who connects while the app is imported waits, and is served."""
    server = serve("slow_import:app", "--listen", "early", wait=False)
    server.wait_marks("importing")
    client = server.connect()
    client.send(request("/"))
    assert client.quiet()
    server.open_gate("import")
    assert client.response().status == 200


def test_drain_delay(serve):
    """After TERM the port stays open for a while, for balancers that learn late."""
    server = serve("ops:app", "--drain-delay", "1.5", "--health", "/healthz")
    wait_workers(server, 1)
    assert server.get("/healthz").status == 200
    began = time.monotonic()
    with Load(server, clients=2, keep_alive=False) as load:
        load.wait_answers(10)
        server.send_signal(signal.SIGTERM)
        server.wait_log("Still accepting for 1.5 s")
        wait_for(lambda: server.get("/healthz").status == 503, "the health check to fail")
        load.wait_answers(10)
        load.stopping.set()
    assert load.lost == [] and load.refused == 0
    assert server.wait_exit() == 0
    assert time.monotonic() - began >= 1.5


def test_second_signal_ends_the_drain_delay(serve):
    server = serve("ops:app", "--drain-delay", "60")
    wait_workers(server, 1)
    server.send_signal(signal.SIGTERM)
    server.wait_log("Still accepting")
    assert server.stop(signal.SIGINT, timeout=5) == 0


def test_cloud_run_leaves_within_ten_seconds(serve):
    server = serve("ops:app", env={"K_SERVICE": "shop"})
    client = server.connect()
    client.send(request("/wait"))
    server.wait_marks("waiting")
    status, seconds = timed(server.stop)
    assert status == 0
    assert 8.5 < seconds < 9.9 + SLOW
    assert client.read() == b""


class Manager:
    """What listens at $NOTIFY_SOCKET."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(path))
        self.sock.settimeout(20 * SLOW)

    def next(self):
        return dict(line.split("=", 1) for line in self.sock.recv(4096).decode().splitlines())


def test_sd_notify(serve, tmp_path):
    manager = Manager(tmp_path / "notify")
    server = serve("ops:app", env={"NOTIFY_SOCKET": tmp_path / "notify"})
    assert manager.next() == {"READY": "1", "MAINPID": str(server.pid)}
    server.send_signal(signal.SIGHUP)
    reloading = manager.next()
    assert reloading["RELOADING"] == "1" and int(reloading["MONOTONIC_USEC"]) > 0
    assert manager.next()["READY"] == "1"
    server.stop()
    assert manager.next() == {"STOPPING": "1"}
    manager.sock.close()


def test_socket_activation(tmp_path):
    """$LISTEN_FDS wins over --bind; the sockets' files stay theirs who made them."""
    path = tmp_path / "s"
    tcp, unix = socket.socket(), socket.socket(socket.AF_UNIX)
    tcp.bind(("127.0.0.1", 0))
    unix.bind(str(path))
    for sock in (tcp, unix):
        sock.listen(16)
    process = subprocess.Popen(
        [
            "python3",
            "-c",
            "import os, sys\n"
            "a, b = map(int, sys.argv[1:3])\n"
            "a, b = os.dup(a), os.dup(b)\n"
            "os.dup2(a, 3), os.dup2(b, 4)\n"
            "os.set_inheritable(3, True), os.set_inheritable(4, True)\n"
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2')\n"
            "os.execvp(sys.argv[3], sys.argv[3:])\n",
            str(tcp.fileno()),
            str(unix.fileno()),
            *program(),
            "-b",
            "127.0.0.1:1",
            "--chdir",
            str(APPS),
            "hello:app",
        ],
        env=clean_env({"CWSGI_TEST_DIR": tmp_path}),
        pass_fds=[tcp.fileno(), unix.fileno()],
        stderr=subprocess.PIPE,
    )
    try:
        for address in (tcp.getsockname(), str(path)):
            family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
            with socket.socket(family) as client:
                client.settimeout(20 * SLOW)
                client.connect(address)
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert client.recv(1000).startswith(b"HTTP/1.1 200")
        process.send_signal(signal.SIGHUP)
        log = b""
        while b"Reloaded" not in log:
            log += os.read(process.stderr.fileno(), 4096)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        process.stderr.close()
        tcp.close(), unix.close()
    assert path.exists()


def test_bind_fd(serve, tmp_path):
    port = Port()
    port.sock.listen(16)
    fd = port.sock.fileno()

    os.set_inheritable(fd, True)
    script = f'exec "$@" -b fd://{fd}'
    process = subprocess.Popen(
        ["sh", "-c", script, "sh", *program(), "--chdir", str(APPS), "hello:app"],
        env=clean_env({"CWSGI_TEST_DIR": tmp_path}),
        pass_fds=[fd],
    )
    try:
        with port.connect() as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        port.close()


def test_bad_fd():
    result = run("-b", "fd://77", "hello:app")
    assert result.returncode == 1
    assert "fd://77 is no open socket" in result.stderr


def test_reuse_port(serve):
    """Two cwsgi on one port."""
    first = serve("ops:app", "--reuse-port")
    second = serve("ops:app", "--reuse-port", binds=first.binds)
    second.binds = [UnixPath("/nowhere")]  # The port is the first one's to close.
    seen = set()

    def both():
        seen.add(first.get("/who").body)
        return len({re.search(rb'"ppid": (\d+)', body)[1] for body in seen}) == 2

    wait_for(both, "both to answer")
    second.check_connections = False


def test_reload_option(serve, tmp_path):
    """--reload: a changed file of the app reloads it; broken code keeps the old."""
    folder = shutil.copytree(APPS, tmp_path / "apps")
    server = serve("changing:app", "--reload", chdir=folder)
    assert server.get("/").body == b"one"
    source = (folder / "changing.py").read_text()
    (folder / "changing.py").write_text(source.replace("one", "two"))
    wait_for(lambda: server.get("/").body == b"two", "the new code", 20)
    server.wait_log("changing.py has changed: reloading")
    (folder / "changing.py").write_text("broken(")
    server.wait_log("Reload failed")
    assert server.get("/").body == b"two"


def test_reload_of_extra_files(serve, tmp_path):
    extra = tmp_path / "template.txt"
    extra.write_text("one")
    server = serve("ops:app", "--reload", "--reload-engine=poll", "--reload-extra-file", extra)
    old = wait_workers(server, 1)
    extra.write_text("three")
    wait_workers(server, 1, without=old)
