"""Uploads, streams, kept connections and reloads behind real proxies, by TCP and by Unix socket."""

import hashlib
import os
import re
import signal
from types import SimpleNamespace

import pytest
from client import request
from fronts import ALL, HAProxy, Nginx, documented_lines, documented_options, each
from ops import Load, wait_workers
from server import UnixPath


class HAProxyV2(HAProxy):
    """With the client's address in front of the requests, as docs/proxies.md says in passing."""

    plain = "backend app\n    server app 127.0.0.1:8080 send-proxy-v2\n"


fronts = pytest.mark.parametrize(
    "kind", [*each(ALL), pytest.param(HAProxyV2, id="proxy-v2", marks=each([HAProxy])[0].marks)]
)
binds = pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])


@pytest.fixture
def tmp_path(open_folder):
    """Apache's workers are nobody's, and go to sockets in it."""
    return open_folder


@pytest.fixture
def behind(serve, front, tmp_path, kind, unix):
    """Starts a server and the proxy in front of it, both as documented."""

    def start(app, *options, **kwargs):
        if kind is HAProxyV2:
            lines, told = kind.plain, ["--proxy-protocol", "v2"]
        else:
            lines, told = documented_lines(kind.title), documented_options(kind.title)
        one = [UnixPath(tmp_path / "s")] if unix else None
        server = serve(app, *told, *options, binds=one, **kwargs)
        return server, front(kind, server, lines)

    return start


@fronts
@binds
def test_uploads(behind):
    """With a length and in chunks, on one connection."""
    _, one = behind("inputs:app")
    body = os.urandom(1_000_000)
    expected = [len(body), hashlib.sha256(body).hexdigest()]
    pieces = [body[start : start + 70_000] for start in range(0, len(body), 70_000)]
    with one.connect() as client:
        for sent in (body, pieces):
            response = client.ask("/digest", "POST", body=sent)
            assert (response.status, response.json()) == (200, expected)


@fronts
@binds
def test_a_stream(behind):
    """Each piece reaches the client before the next is made."""
    server, one = behind("outputs:app")
    with one.connect() as client:
        client.send(request("/flush"))
        client.read_until(b"first;")
        server.open_gate("flush")
        client.read_until(b"second;")


def accepted(server, one):
    text = one.ask(path="/metrics").body.decode()
    return int(re.search(r"^cwsgi_connections_accepted_total (\d+)$", text, re.M)[1])


@fronts
@binds
def test_kept_connections(behind, kind):
    server, one = behind("hello:app", "--metrics", "/metrics")
    before = accepted(server, one)
    with one.connect() as client:
        for _ in range(20):
            response = client.ask("/")
            assert (response.status, response.closes) == (200, False)
    if kind is not Nginx:  # which keeps none without an upstream block
        assert accepted(server, one) - before <= 2


@fronts
@binds
def test_reloads_under_load(behind):
    server, one = behind("ops:app", workers=2)
    wait_workers(server, 2)
    with Load(SimpleNamespace(binds=[one.port], proc=one.process), clients=8) as load:
        for _ in range(3):
            old = wait_workers(server, 2)
            load.wait_answers(50)
            server.send_signal(signal.SIGHUP)
            wait_workers(server, 2, without=old)
    assert (load.lost, load.refused, set(load.statuses)) == ([], 0, {200})
