"""`cwsgi top`: figures of a running server, on terminals and in pipes."""

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios

import pytest
from client import request, wait_for
from server import clean_env, no_tsan, program, run, worker_pids


class Top:
    """`cwsgi top --json`, an object at a time."""

    def __init__(self, *args):
        command = [*program(), "top", "--json", "--interval", "0.3", *map(str, args)]
        self.process = subprocess.Popen(
            command, env=clean_env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def look(self):
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)

    def until(self, condition):
        """Looks until a look is as it should be; returns all of them."""
        looks = [self.look()]
        while not condition(looks):
            assert len(looks) < 100, looks[-1]
            looks.append(self.look())
        return looks

    def end(self):
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=20)
        assert (self.process.returncode, err) == (0, "")


@pytest.fixture
def top():
    with contextlib.ExitStack() as stack:

        def start(*args):
            one = Top(*args)
            stack.callback(one.process.stdout.close)
            stack.callback(one.process.stderr.close)
            stack.callback(one.process.wait)
            stack.callback(one.process.kill)
            return one

        yield start


def summed(looks, *names):
    return sum(sum(one["status"].values()) if names == ("status",) else one[names[0]]["count"]
               for one in looks)  # fmt: skip


def test_what_it_counts(serve, top, door):
    server = serve("ops:app", workers=2, env={"CWSGI_INTERPRETER": door})
    wait_for(lambda: len(worker_pids(server)) == 2, "two workers")
    assert server.get("/who").status == 200
    watch = top(server.pid)
    first = watch.look()
    assert first["pid"] == server.pid and first["workers_serving"] == 2
    assert first["threads"] == 16 and first["latency"]["count"] == 0
    clients = [server.connect() for _ in range(3)]
    clients[0].send(request("/wait?gate=x"))
    server.wait_marks("waiting")
    for _ in range(20):
        clients[1].send(request("/who"))
        assert clients[1].response().status == 200
    clients[2].send(request("/nothing"))
    assert clients[2].response().status == 404
    looks = watch.until(lambda looks: summed(looks, "status") == 21)
    assert summed(looks, "latency") == summed(looks, "queue") == 21
    status = {}
    for one in looks:
        for code, count in one["status"].items():
            status[code] = status.get(code, 0) + count
    assert status == {"200": 20, "404": 1}
    last = looks[-1]
    assert last["threads_busy"] == 1 and last["connections"] == 3
    assert [one["running"] for one in last["workers"] if one["running"]] == [["GET /wait"]]
    assert {one["pid"] for one in last["workers"]} == worker_pids(server)
    assert all(one["memory_bytes"] > 1 << 20 for one in last["workers"])
    server.open_gate("x")
    assert clients[0].response().body == b"waited"
    watch.until(lambda looks: looks[-1]["threads_busy"] == 0)
    watch.end()


@no_tsan  # which keeps the extension out of this process
def test_it_costs_nothing_when_nobody_looks(serve, top):
    """Times and statuses are counted only while somebody is there, and for a moment more."""
    from cwsgi._tools._servers import Server

    server = serve("ops:app")
    board = Server(server.pid)

    def counted():
        (slot,) = board.read()["slots"]
        return slot["requests"], sum(slot["status"].values())

    server.get("/who")
    wait_for(lambda: counted() == (1, 0), "the request to be counted, and no more of it")
    watch = top(server.pid)

    def is_counted(looks):
        server.get("/who")
        return summed(looks, "status") > 0

    watch.until(is_counted)
    watch.end()

    def is_over():
        before = counted()
        server.get("/who")
        wait_for(lambda: counted()[0] == before[0] + 1, "the request to be counted")
        return counted()[1] == before[1]

    wait_for(is_over, "times to be of no interest any more", 20)


def test_reloads_and_restarts(serve, top):
    """Workers that come later are told that somebody looks."""
    server = serve("ops:app")
    watch = top(server.pid)
    (old,) = watch.look()["workers"]
    server.send_signal(signal.SIGHUP)
    looks = watch.until(
        lambda looks: (
            [one["pid"] for one in looks[-1]["workers"]] not in ([old["pid"]], [])
            and looks[-1]["workers_serving"] == 1
            and len(looks[-1]["workers"]) == 1
        )
    )
    assert looks[-1]["reloads"] == 1
    (new,) = looks[-1]["workers"]

    def is_timed(looks):
        """Requests are, from a moment on: a worker is told by a signal."""
        server.get("/who")
        return summed(looks, "latency") > 0

    watch.until(is_timed)
    os.kill(new["pid"], signal.SIGKILL)
    watch.until(
        lambda looks: (
            looks[-1]["restarts"] == 1
            and looks[-1]["workers_serving"] == 1
            and looks[-1]["latency"]["count"] == 0
        )
    )
    watch.until(is_timed)
    watch.end()


def test_preloaded(serve, top):
    server = serve("ops:app", "--preload")
    watch = top(server.pid)
    looks = watch.until(lambda looks: looks[-1]["workers_serving"] == 1)
    states = [one["state"] for one in looks[-1]["workers"]]
    assert sorted(states) == ["preloading", "serving"]
    server.get("/who")
    watch.until(lambda looks: summed(looks, "latency") == 1)
    watch.end()


def test_websockets(serve, top):
    server = serve("asgisocket:app", threads=None)
    watch = top(server.pid)
    watch.look()
    client = server.connect()
    head = ["GET / HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade"]
    head += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", ""]
    client.send("\r\n".join(head).encode())
    watch.until(lambda looks: looks[-1]["websockets"] == 1)
    client.close()
    watch.until(lambda looks: looks[-1]["websockets"] == 0)
    watch.end()


def test_with_metrics_on_both_count_once(serve, top):
    server = serve("ops:app", "--metrics", "/metrics")
    watch = top(server.pid)
    watch.look()
    server.get("/who")
    looks = watch.until(lambda looks: summed(looks, "latency") >= 1)
    assert summed(looks, "latency") == 1
    watch.end()
    assert 'cwsgi_requests_total{status="200"} 1\n' in server.get("/metrics").body.decode()


# ---- the end ----


def test_the_server_ends(serve):
    server = serve("ops:app")
    command = [*program(), "top", "--interval", "0.2", str(server.pid)]
    with subprocess.Popen(
        command, env=clean_env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().startswith("cwsgi ")
        server.stop()
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, f"cwsgi top: the server {server.pid} has ended\n")


def test_once(serve):
    server = serve("ops:app")
    done = run("top", "--once", "--interval", "0.2", server.pid)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"pid {server.pid}, up " in done.stdout and "\x1b" not in done.stdout
    assert done.stdout.count("workers 1 of 1 serving") == 1
    told = json.loads(run("top", "--once", "--json", "--interval", "0.2", server.pid).stdout)
    assert told["format"] == 1 and told["workers_wanted"] == 1


def test_who_reads_has_seen_enough(serve):
    server = serve("ops:app")
    command = [*program(), "top", "--interval", "0.1", str(server.pid)]
    with subprocess.Popen(
        command, env=clean_env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(20) == 0
        assert process.stderr.read() == b""


@pytest.mark.parametrize("interval", ["0", "x", "-1", "1e9"])
def test_bad_intervals(interval):
    done = run("top", f"--interval={interval}")
    assert done.returncode == 2 and "--interval" in done.stderr


# ---- terminals ----


class Terminal:
    """`cwsgi top` on a terminal of so many columns and lines."""

    def __init__(self, name, columns, lines, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(
                program()[0],
                [*program(), "top", "--interval", "0.2", *map(str, args)],
                clean_env({"TERM": name}),
            )
        self.text = ""
        self.resize(columns, lines)

    def resize(self, columns, lines):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def wait(self, pattern):
        def there():
            with contextlib.suppress(OSError):
                self.text += os.read(self.fd, 65536).decode()
            return re.search(pattern, self.text)

        return wait_for(there, lambda: f"{pattern!r} in {self.text[-2000:]!r}")

    def end(self):
        os.write(self.fd, b"\x03")
        _, status = os.waitpid(self.pid, 0)
        with contextlib.suppress(OSError):
            while data := os.read(self.fd, 65536):
                self.text += data.decode()
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def test_a_terminal(serve):
    server = serve("ops:app")
    terminal = Terminal("xterm", 40, 12, server.pid)
    terminal.wait(r"\x1b\[H\x1b\[2Jcwsgi ")
    terminal.text = ""
    terminal.wait(r"worker +pid[^\n]*\n")
    lines = terminal.text.replace("\x1b[H\x1b[2J", "\r\n").split("\r\n")
    assert max(map(len, lines)) == 40
    terminal.resize(100, 30)
    terminal.text = ""
    terminal.wait(r"worker +pid  state +up +cpu% +memory +req/s +busy +conns +ws")
    assert terminal.end() == 0
    assert "Traceback" not in terminal.text


def test_few_lines(serve):
    server = serve("ops:app")
    terminal = Terminal("xterm", 80, 6, server.pid)
    terminal.wait(r"\.\.\.")
    assert terminal.end() == 0
    frame = terminal.text.split("\x1b[H\x1b[2J")[-2]
    assert frame.count("\n") <= 6


def test_a_dumb_terminal(serve):
    server = serve("ops:app")
    terminal = Terminal("dumb", 80, 24, server.pid)
    terminal.wait(r"(?s)worker +pid.*worker +pid")
    assert terminal.end() == 0
    assert "\x1b" not in terminal.text


# ---- figures ----


@no_tsan
def test_percentiles():
    from cwsgi._tools import _sample

    bounds = [500, 1000, 2500]
    assert _sample.percentile([0, 0, 0, 0], bounds, 50) is None
    assert _sample.percentile([99, 0, 1, 0], bounds, 99) == 0.5
    assert _sample.percentile([98, 0, 2, 0], bounds, 99) == 2.5
    assert _sample.percentile([0, 0, 0, 5], bounds, 50) is None
    assert _sample.percentile([1, 1, 0, 0], bounds, 50) == 0.5


def test_words():
    from cwsgi._tools import _screen

    assert [_screen.size(n) for n in (0, 1536, 5 << 20, 3 << 30)] == [
        "0 B",
        "1.5 KiB",
        "5.0 MiB",
        "3.00 GiB",
    ]
    assert [_screen.span(n) for n in (5, 65, 3665, 90000)] == ["5s", "1m05s", "1h01m", "1d01h"]
