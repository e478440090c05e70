"""Load and attacks by programs that others wrote; an ordinary request is answered throughout."""

import os
import re
import shutil
import subprocess
import threading
import time

import pytest
from client import SLOW, wait_for
from server import descriptors

SECONDS = 3


@pytest.fixture
def server(serve):
    return serve("slow:app", "--header-timeout", "2", "--send-timeout", "2", threads=4)


class Watch:
    """Asks for a page again and again while something else goes on."""

    def __init__(self, server):
        self.server = server
        self.answers, self.worst = 0, 0.0
        self.failure = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            while not self.over.is_set():
                start = time.monotonic()
                assert self.server.get("/").status == 200
                self.worst = max(self.worst, time.monotonic() - start)
                self.answers += 1
                self.over.wait(0.05)
        except BaseException as error:
            self.failure = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.thread.join()


def attack(server, *command):
    """Runs the program against the server and returns its output. Leaves nothing behind.

    A sanitizer's runtime, preloaded for the server, is none of the program's.
    """
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    worker = server.worker()
    assert server.get("/").status == 200
    before = len(descriptors(worker.pid))
    with Watch(server) as watch:
        answer = subprocess.run(
            command,
            cwd=server.folder,
            env={key: value for key, value in os.environ.items() if key != "LD_PRELOAD"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30 + 10 * SLOW,
        )
    if watch.failure:
        raise watch.failure
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert watch.answers > 0
    assert watch.worst < 5 * SLOW
    assert server.get("/").status == 200
    assert server.worker() == worker
    wait_for(lambda: not server.lingering(), "its connections to end")
    wait_for(lambda: len(descriptors(worker.pid)) <= before, "descriptors to be closed")
    return re.sub(r"\x1b\[[0-9;]*m", "", answer.stdout)


def number(pattern, output):
    found = re.search(pattern, output)
    assert found, output
    return int(found[1])


@pytest.mark.parametrize("path", ["/", "/medium"])
def test_wrk(server, path):
    output = attack(
        server,
        "wrk",
        "-t",
        "2",
        "-c",
        "64",
        "-d",
        f"{SECONDS}s",
        "--timeout",
        "20s",
        server.url(path),
    )
    assert number(r"(\d+) requests in", output) > 100
    assert "Non-2xx" not in output and "Socket errors" not in output, output


@pytest.mark.parametrize("streams", ["1", "8"])
def test_h2load(server, streams):
    """Its streams are pipelined requests in HTTP/1.1."""
    output = attack(
        server, "h2load", "--h1", "-n", "5000", "-c", "50", "-m", streams, server.url("/")
    )
    assert number(r"(\d+) succeeded", output) == 5000
    assert number(r"(\d+) failed", output) == 0
    assert number(r"(\d+) 5xx", output) == 0


MODES = {
    "slow head": ["-H", "-i", "1"],
    "slow body": ["-B", "-i", "1", "-s", "100000"],
    "ranges": ["-R", "-a", "1", "-b", "3000"],
    "slow read": ["-X", "-w", "10", "-y", "20", "-n", "1", "-z", "32", "-k", "3"],
}
PATHS = {"slow head": "/", "slow body": "/upload", "ranges": "/medium", "slow read": "/medium"}


@pytest.mark.parametrize("mode", MODES)
def test_slowhttptest(server, mode):
    common = ["-c", "300", "-r", "150", "-l", str(SECONDS), "-p", "2"]
    url = server.url(PATHS[mode])
    output = attack(server, "slowhttptest", *MODES[mode], *common, "-u", url)
    # What it says of the service itself, as its own prober sees it.
    assert "service available:   YES" in output, output[-2000:]
