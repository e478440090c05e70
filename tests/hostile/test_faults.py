"""Every allocation on the way of a request fails once, ours and CPython's: nothing else does.

Needs the fault-injection build: make faults.
"""

import sys

import pytest
from client import request, wait_for
from faultwalk import Walk, converse, whole
from server import descriptors, rss

MIB = 1 << 20
LINES = b"line one\nline two\n" * 20

KINDS = {
    "hello": request("/hello"),
    "one item": request("/one-item"),
    "many headers": request("/hello?q=1", headers=[(f"X-Name-{n}", "v" * n) for n in range(40)]),
    "names joined": request("/hello", headers=[("X-A", "a"), ("X-A", "b"), ("Cookie", "c=d")]),
    "read": request("/read", "POST", body=LINES),
    "read, chunked": request("/read", "POST", body=[LINES, LINES * 10]),
    "read, streamed": request("/read", "POST", body=LINES * 1000),
    "readline": request("/readline", "POST", body=LINES),
    "iterate": request("/iterate", "POST", body=LINES),
    "iterate, chunked": request("/iterate", "POST", body=[LINES, LINES]),
    "readinto and readlines": request("/readinto", "POST", body=LINES),
    "body left": request("/hello", "POST", body=LINES),
    "broken chunk": request("/read", "POST", [("Transfer-Encoding", "chunked")]) + b"x\r\n",
    "100-continue": request("/read", "POST", [("Expect", "100-continue")], LINES),
    "generator": request("/generator"),
    "generator, HTTP/1.0": request("/generator", version="1.0"),
    "write": request("/write"),
    "write, stubborn": request("/write-stubborn"),
    "file": request("/file"),
    "file-like": request("/file-like"),
    "HEAD": request("/hello", "HEAD"),
    "HEAD of a file": request("/file", "HEAD"),
    "bad header": request("/bad-header"),
    "bad status": request("/bad-status"),
    "hop-by-hop header": request("/hop-header"),
    "exc_info": request("/twice"),
    "exc_info, too late": request("/twice-too-late"),
    "exception": request("/failing"),
    "exception, later": request("/failing-later"),
    "exception in close()": request("/bad-close"),
    "wsgi.errors": request("/errors"),
    "pipelined": request("/hello") + request("/read", "POST", body=LINES) + request("/generator"),
    "refused": b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n",
    "big": request("/big"),
    "medium": request("/medium"),
    "no such route": request("/nowhere"),
}
# These have a traceback made while allocations are counted. CPython 3.12 and 3.13 crash on
# their own where memory fails in traceback.format_exception (seen with _testcapi.set_nomemory
# and no other code at all), so that there is nothing to learn about ours.
WITH_TRACEBACK = {
    "broken chunk",
    "bad header",
    "bad status",
    "exc_info, too late",
    "exception",
    "exception, later",
    "exception in close()",
    "no such route",
}


@pytest.fixture(scope="module")
def server(serve_all):
    server = serve_all("faulty:app", threads=2)
    if server.get("/has").body != b"yes":
        pytest.skip("this build injects no faults: see make faults")
    return server


def step(walk, raw, n):
    """Whether the n-th allocation came to fail."""
    walk.arm(n)
    answer = converse(walk.server, raw)
    if answer:
        assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    whole(answer, raw)
    left, given, closed, files = walk.state()
    assert given == closed, f"{given} bodies given, {closed} closed; allocation {n}"
    assert files == 0, f"a file was left open; allocation {n}"
    return left == 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_allocation_fails(server, kind):
    if kind in WITH_TRACEBACK and sys.version_info >= (3, 12):
        pytest.skip("CPython itself crashes when memory fails in its traceback module")
    raw = KINDS[kind]
    pid = server.worker().pid
    walk = Walk(server)
    for _ in range(3):  # what is made once, is there
        converse(server, raw)
    walk.state()
    open_before, rss_before = len(descriptors(pid)), rss(pid)
    n = 1
    while step(walk, raw, n):
        n += 1
    print(f"{kind}: {n - 1} allocations")
    assert server.worker().pid == pid
    assert server.get("/one-item").body == b"hello"
    wait_for(lambda: len(descriptors(pid)) <= open_before, "descriptors to be closed")
    assert rss(pid) - rss_before < 64 * MIB
