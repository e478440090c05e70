"""Peers that are slow, silent, half gone or too many: they cost themselves, not others."""

import resource
import socket
import subprocess
import sys
import time

import pytest
from client import SLOW, Client, request, wait_for
from server import FLAT, TSAN, Port, descriptors, rss

MIB = 1 << 20


def small_window(server):
    """A client whose kernel takes little before it reads."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", server.binds[0].number))
    client = Client(sock)
    server.clients.append(client)
    return client


@pytest.fixture
def brisk(serve):
    """A server whose clocks are short enough to wait for."""
    return serve(
        "slow:app",
        *("--header-timeout", "1", "--send-timeout", "1", "--keep-alive", "1"),
        *("--body-timeout", "1", "--body-rate", "1k"),
        threads=2,
    )


def test_silent_connection_is_closed_without_a_word(brisk):
    with brisk.connect() as client:
        assert client.read() == b""


@pytest.mark.parametrize("start", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX-"])
def test_slow_head(brisk, start):
    with brisk.connect() as client:
        client.send(start)
        assert client.response().status == 408
        assert client.at_end()


def test_trickling_head_gets_no_new_time(brisk):
    """The clock counts from the first byte, whatever comes after it."""
    with brisk.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        with pytest.raises((ConnectionError, AssertionError)):
            for _ in range(1000):
                client.send(b"X-A: b\r\n")
                if not client.quiet():
                    break
            assert client.response().status == 408
            client.send(b"x" * MIB)
            client.send(b"x" * MIB)
            raise ConnectionError


@pytest.mark.parametrize("length", [100, 1_000_000])
def test_slow_body(brisk, length):
    """Too slow by the least rate: 408, before the app runs or while it reads."""
    with brisk.connect() as client:
        client.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\nabc" % length)
        assert client.response().status == 408
        assert client.at_end()


@pytest.mark.parametrize("length", [100, 1_000_000])
def test_a_body_may_pause(serve, length):
    """As git does while it packs: far below the least rate for a while, but not for too long."""
    server = serve(
        "slow:app", "--header-timeout", "1", "--body-timeout", "20", "--body-rate", "10k"
    )
    with server.connect() as client:
        client.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
        time.sleep(2.5)  # the pause itself: longer than every other clock of this server
        client.send(b"a" * (length // 2))
        time.sleep(2.5)
        client.send(b"a" * (length // 2))
        assert client.response().status == 200


@pytest.mark.parametrize("length", [100, 1_000_000])
def test_a_trickling_body(serve, length):
    """Never silent, and yet too slow on average."""
    server = serve("slow:app", "--body-timeout", "1", "--body-rate", "1k")
    with server.connect() as client:
        client.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
        for _ in range(1000):
            client.send(b"a")
            if not client.quiet(0.05):
                break
        assert client.response().status == 408
    server.wait_log("more slowly than --body-rate")


def test_a_slow_body_is_told_of_as_such(serve):
    """And not as a client that left: neither to the app nor in the log."""
    server = serve("slow:app", "--body-timeout", "1", "--body-rate", "0")
    with server.connect() as client:
        client.send(b"POST /why HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
        assert b"OSError: the request's body paused" in client.response().body
    server.wait_log("the request's body paused for longer than --body-timeout: POST /why")


def test_idle_connection_is_closed(brisk):
    with brisk.connect() as client:
        assert client.ask("/").status == 200
        assert client.read() == b""


def test_keep_alive_of_0_closes_after_each_response(serve):
    server = serve("slow:app", "--keep-alive", "0")
    with server.connect() as client:
        response = client.ask("/")
        assert response.status == 200 and response.closes
        assert client.at_end()


def test_reader_that_stopped_is_given_up(brisk):
    """Its thread is free again, and its generator closed."""
    clients = [brisk.connect() for _ in range(2)]
    for client in clients:
        client.send(request("/endless"))
    brisk.wait_marks("endless closed", 2)
    assert brisk.get("/").status == 200


def test_slow_reader_of_an_ordinary_response_holds_no_thread(serve):
    """Below the high-water mark the loop sends; all threads stay free."""
    server = serve("slow:app", threads=1)
    clients = []
    for _ in range(20):
        client = small_window(server)
        client.send(request("/medium"))
        clients.append(client)
    assert server.get("/").status == 200
    for client in clients:
        assert len(client.response().body) == 200_000


def test_reset_in_the_middle(serve):
    server = serve("slow:app", threads=2)
    for start in (
        b"GET / HT",
        request("/endless"),
        request("/medium"),
        b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n" + b"x" * 90_000,
    ):
        for _ in range(20):
            client = server.connect()
            client.send(start)
            client.reset()
    wait_for(lambda: server.get("/").status == 200, "an answer")
    wait_for(lambda: not server.lingering(), "the connections to end")


def test_least_recently_used_idle_connection_makes_room(serve):
    server = serve("slow:app", "--worker-connections", "10")
    clients = [server.connect() for _ in range(10)]
    for client in clients:
        assert client.ask("/").status == 200
    assert clients[0].ask("/").status == 200  # the second is now the oldest
    late = server.connect()
    assert late.ask("/").status == 200
    assert clients[1].at_end()
    assert clients[0].ask("/").status == 200


def test_busy_connections_are_not_closed_for_new_ones(serve):
    server = serve("slow:app", "--worker-connections", "4", threads=8)
    busy = [server.connect() for _ in range(4)]
    for client in busy:
        client.send(request("/wait"))
    server.wait_marks("waiting", 4)
    late = server.connect()
    late.send(request("/"))
    assert late.quiet()
    server.open_gate("wait")
    for client in busy:
        assert client.response().status == 200
    assert late.response().status == 200


@pytest.mark.parametrize("start", [b"", b"\r\n", b"GET / HTTP/1.1\r\nHost"])
def test_those_that_send_no_request_make_room(serve, start):
    """Long before --header-timeout; those that do send one are not closed."""
    server = serve("slow:app", "--worker-connections", "6", "--header-timeout", "600", threads=8)
    busy = server.connect()
    busy.send(request("/wait"))
    server.wait_marks("waiting", 1)
    silent = [server.connect() for _ in range(8)]
    for client in silent:
        client.send(start)
    late = [server.connect() for _ in range(3)]
    for client in late:
        assert client.ask("/").status == 200
    for client in silent[:5]:
        if start.startswith(b"GET"):
            assert client.response().status == 408
        assert client.at_end()
    server.open_gate("wait")
    assert busy.response().status == 200


def test_silent_ones_make_room_for_descriptors(serve):
    server = serve("slow:app", "--header-timeout", "600")
    resource.prlimit(server.worker().pid, resource.RLIMIT_NOFILE, (64, 64))
    silent = [server.connect() for _ in range(80)]
    late = server.connect()
    assert late.ask("/").status == 200
    assert silent[0].at_end()


def fill(server, count):
    busy = [server.connect() for _ in range(count)]
    for client in busy:
        client.send(request("/wait"))
    server.wait_marks("waiting", min(count, 8))
    return busy


def test_probes_get_in_when_the_service_is_full(serve):
    """Others that come instead are told so, not left waiting in front of the probes."""
    options = ("--worker-connections", "12", "--health", "/healthz", "--metrics", "127.0.0.1:0")
    server = serve("slow:app", *options, threads=8)
    busy = fill(server, 12)
    for _ in range(3):
        others = [server.connect() for _ in range(2)]
        for client in others:
            client.send(request("/"))
        assert server.connect().ask("/healthz").status == 200
        for client in others:
            response = client.response()
            assert (response.status, response.closes) == (503, True)
    server.wait_log("no place but those kept for --health")
    server.open_gate("wait")
    for client in busy:
        assert client.response().status == 200
    assert server.get("/").status == 200
    assert not server.get("/healthz").closes


def test_silent_ones_do_not_take_the_places_of_probes(serve):
    options = ("--worker-connections", "8", "--health", "/healthz", "--header-timeout", "600")
    server = serve("slow:app", *options, threads=8)
    busy = fill(server, 8)
    silent = [server.connect() for _ in range(12)]
    for _ in range(3):
        assert server.connect().ask("/healthz").status == 200
    assert silent[0].at_end()
    server.open_gate("wait")
    for client in busy:
        assert client.response().status == 200


def test_probes_and_scrapes_get_in_without_descriptors(serve):
    address = Port()
    server = serve("slow:app", "--health", "/healthz", "--metrics", address, threads=8)
    worker = server.worker().pid
    busy = fill(server, 8)
    before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    few = len(descriptors(worker)) + 4
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (few, before[1]))
    queued = [server.connect() for _ in range(12)]
    for client in queued:
        client.send(request("/"))
    for _ in range(3):
        assert server.connect().ask("/healthz").status == 200
        with Client(address.connect()) as client:
            assert client.ask("/metrics").status == 200
    resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
    server.open_gate("wait")
    assert {client.response().status for client in busy} == {200}
    assert {client.response().status for client in queued} == {200, 503}
    assert server.get("/").status == 200


HALF_A_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(
    b"X-%d: %b\r\n" % (n, b"v" * 8000) for n in range(14)
)
HALF_A_BODY = request("/upload", "POST", [("Content-Length", "60000")]) + b"b" * 50_000


@pytest.mark.parametrize("half", [HALF_A_HEAD, HALF_A_BODY], ids=["head", "body"])
def test_slow_senders_share_a_budget(serve, half):
    """Whoever takes longest is refused; the others, and the memory, are safe."""
    options = ("--buffer-memory", "2m", "--header-timeout", "600", "--body-timeout", "600")
    server = serve("slow:app", *options, threads=2)
    worker = server.worker()

    def ask_whole():
        assert server.get("/", [("X-A", "v" * 8000)] * 12).status == 200
        assert server.connect().ask("/upload", "POST", body=b"b" * 60_000).body == b"60000"

    for _ in range(10):
        ask_whole()
    before = rss(worker)
    slow = []
    for _ in range(200):
        client = server.connect()
        slow.append(client)
        client.send(half)
        # One that is just as large, but whole.
        if len(slow) % 25 == 0:
            ask_whole()
    # Without it they would hold 10 MiB and more; connections themselves are not part of it.
    assert TSAN or rss(worker) - before < 5 * MIB + FLAT
    refused = [client for client in slow if not client.quiet()]
    assert 160 < len(refused) < 200
    for client in refused:
        assert client.response().status in (408, 503)
        assert client.at_end()
    server.wait_log("--buffer-memory is used up")


def test_those_that_take_longest_go_first(serve):
    options = ("--buffer-memory", "1m", "--header-timeout", "600", "--body-timeout", "600")
    server = serve("slow:app", *options, threads=2)
    head, body = server.connect(), server.connect()
    head.send(HALF_A_HEAD[:20_000])
    body.send(HALF_A_BODY[:20_000])
    began = time.monotonic()
    wait_for(lambda: time.monotonic() - began > 1.5, "both to be slow")
    fresh = [server.connect() for _ in range(9)]
    for client in fresh:
        client.send(HALF_A_HEAD)
    wait_for(lambda: not (head.quiet() or body.quiet()), "both to be refused")
    assert head.response().status == body.response().status == 408
    assert fresh[-1].quiet()


def test_what_runs_is_not_part_of_the_budget(serve):
    server = serve("slow:app", "--buffer-memory", "100k", threads=8)
    busy = [server.connect() for _ in range(8)]
    for client in busy:
        client.send(request("/wait", "POST", body=b"b" * 60_000) + request("/") * 100)
    server.wait_marks("waiting", 8)
    server.open_gate("wait")
    for client in busy:
        for _ in range(101):
            assert client.response().status == 200


def test_64_descriptors_and_500_clients(serve):
    """Nobody is lost: who does not fit waits in the backlog."""
    server = serve("slow:app", "--keep-alive", "5")
    worker = server.worker().pid
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (64, 64))
    clients = [server.connect() for _ in range(500)]
    for client in clients:
        client.send(request("/"))
    for client in clients:
        assert client.response().status == 200
        client.close()
    assert server.worker().pid == worker
    assert server.get("/").status == 200
    wait_for(lambda: len(descriptors(worker)) < 40, "descriptors to be closed")


FLOOD = """
import socket, sys
port, kind, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
socks = []
for _ in range(count):
    s = socket.create_connection(("127.0.0.1", port))
    if kind == "loris":
        s.sendall(b"GET / HTTP/1.1\\r\\nHost: a\\r\\nX-")
    elif kind == "reader":
        s.sendall(b"GET /medium HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
    elif kind == "idle":
        s.sendall(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
        s.recv(4096)
    socks.append(s)
print("ready", flush=True)
sys.stdin.read()
"""


def test_crowds_of_slow_peers_leave_others_served(serve):
    """4,000 peers of three bad kinds are held at once; memory stays bounded, all others go on."""
    server = serve("slow:app", threads=4)
    before = rss(server.worker())
    crowds = []
    try:
        for kind, count in (("loris", 1000), ("reader", 1000), ("idle", 2000)):
            crowd = subprocess.Popen(
                [sys.executable, "-c", FLOOD, str(server.binds[0].number), kind, str(count)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            crowds.append(crowd)
            assert crowd.stdout.readline() == b"ready\n"
        with server.connect() as client:
            for _ in range(200):
                assert client.ask("/").status == 200
        # A slow reader may hold what the kernel did not take of 200 kB, others next to nothing.
        assert rss(server.worker()) - before < (200 * 1000 + 2 * 1000 * 4) * 1000 * SLOW
    finally:
        for crowd in crowds:
            crowd.stdin.close()
            crowd.wait(20)
            crowd.stdout.close()
    wait_for(lambda: not server.lingering(), "the crowd's connections to end", 30)


def test_lost_client_is_told_once(serve):
    """write() and iteration raise ClientDisconnected, an OSError; close() still runs."""
    server = serve("slow:app", threads=2)
    for path in ("/endless", "/endless-write"):
        client = Client(socket.create_connection(("127.0.0.1", server.binds[0].number)))
        client.send(request(path))
        client.read_until(b"xxxx")
        client.reset()
    server.wait_marks("endless closed")
    server.wait_marks("write raised")
    assert "ClientDisconnected True" in str(server.marks("write raised"))
    assert "Traceback" not in server.log()


def test_end_of_sending_is_noted_though_it_came_early(serve):
    """It arrives while the first request runs, and cuts the body of the second short."""
    server = serve("slow:app", threads=1)
    with server.connect() as client:
        upload = b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"
        client.send(request("/wait") + upload)
        server.wait_marks("waiting")
        client.finish_sending()
        server.open_gate("wait")
        start = time.monotonic()
        assert client.response().status == 200
        assert client.response().status == 400
        assert client.at_end()
        assert time.monotonic() - start < 5 * SLOW
