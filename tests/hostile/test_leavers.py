"""Clients that leave streams and uploads at any moment take nothing with them."""

import os
import random
import signal
import socket
import threading
import time

import pytest
from client import SLOW
from server import Port, UnixPath, rss

# Seconds for each server; much longer when this is all that is looked for.
SECONDS = float(os.environ.get("CWSGI_LEAVE_SECONDS", "2")) * min(SLOW, 3)
CLIENTS = 16
pytestmark = pytest.mark.timeout(60 * SLOW + 2 * SECONDS)
GETS = (b"/stream", b"/stream", b"/drops", b"/file")
POSTS = (b"/upload", b"/upload", b"/unread")


def leave_once(bind, rng):
    """Begins a request, gets so far with it, and goes: by a close, a reset or half a close."""
    with bind.connect() as sock:
        sock.settimeout(5 * SLOW)
        version = rng.choice((b"1.1", b"1.1", b"1.0"))
        upload = rng.random() < 0.4
        if upload:
            path = rng.choice(POSTS)
            framing = rng.choice((b"Content-Length: 1000000", b"Content-Length: 1000"))
            if version == b"1.1" and rng.random() < 0.4:
                framing = b"Transfer-Encoding: chunked"
            head = b"POST %s HTTP/%s\r\nHost: a\r\n%s\r\n\r\n" % (path, version, framing)
            sock.sendall(head + b"a" * rng.choice((0, 10, 999, 70_000)))
        else:
            sock.sendall(b"GET %s HTTP/%s\r\nHost: a\r\n\r\n" % (rng.choice(GETS), version))
        left = rng.choice((0, 1, 20_000, 60_000, 200_000, 500_000, 1_000_000))
        while left > 0 and (part := sock.recv(min(65536, left))):
            left -= len(part)
            if upload and rng.random() < 0.5:
                sock.sendall(b"b" * 5000)
        if rng.random() < 0.3:
            time.sleep(rng.random() / 100)
        if rng.random() < 0.2:
            sock.shutdown(socket.SHUT_WR)
        if rng.random() < 0.3:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def leave(bind, seed, end, counts):
    rng = random.Random(seed)
    while time.monotonic() < end:
        try:
            leave_once(bind, rng)
        except OSError:
            pass  # refused bodies are answered by a reset
        counts[seed] += 1


def together(function, arguments):
    threads = [threading.Thread(target=function, args=each) for each in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("threads", [1, 8])
def test_every_thread_answers_after_clients_that_left(serve, tmp_path, threads, kind):
    large = tmp_path / "large"
    with open(large, "wb") as file:
        file.truncate(50 << 20)
    bind = Port() if kind == "tcp" else UnixPath(tmp_path / "sock")
    env = {"MEET": str(threads), "LARGE": large}
    server = serve("leavers:app", binds=[bind], threads=threads, env=env)
    counts = [0] * CLIENTS
    end = time.monotonic() + SECONDS
    together(leave, [(bind, seed, end, counts) for seed in range(CLIENTS)])
    assert sum(counts) > CLIENTS

    answers = []

    def ask():
        with server.connect(timeout=40) as client:
            answers.append(client.ask("/meet").body)

    together(ask, [()] * threads)
    assert answers == [b"met"] * threads
    assert rss(server.worker()) < 200 << 20
    began = time.monotonic()
    server.stop(signal.SIGTERM)
    assert time.monotonic() - began < 1 * SLOW + 1
