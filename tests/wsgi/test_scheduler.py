"""Threads: handlers in parallel, made on demand, and a loop that never waits for them."""

import threading

import pytest
from client import request, wait_for
from server import TSAN

# ThreadSanitizer runs a thread of its own, and a forked process has that of its parent, too.
SANITIZERS_OWN = 2 * int(TSAN)


def socket_state(server, client):
    """(accepted, bytes the server has not read) of a client's connection, from /proc."""
    local, remote = server.binds[0].number, client.sock.getsockname()[1]
    with open("/proc/net/tcp") as table:
        for line in list(table)[1:]:
            fields = line.split()
            if (int(fields[1].split(":")[1], 16), int(fields[2].split(":")[1], 16)) == (
                local,
                remote,
            ):
                return fields[9] != "0", int(fields[4].split(":")[1], 16)
    return False, 0


def send_all(server, path, count):
    clients = [server.connect() for _ in range(count)]
    for client in clients:
        client.send(request(path))
    return clients


def test_eight_handlers_in_parallel(serve):
    server = serve("serving:app", threads=8)
    for _ in range(5):
        clients = send_all(server, "/barrier", 8)
        assert all(client.response().status == 200 for client in clients)


def test_eight_handlers_in_parallel_on_kept_connections(serve):
    server = serve("serving:app", threads=8)
    clients = [server.connect() for _ in range(8)]
    for _ in range(20):
        for client in clients:
            client.send(request("/quick"))
        for client in clients:
            assert client.response().body == b"quick"
        for client in clients:
            client.send(request("/barrier"))
        names = {client.response().body for client in clients}
        assert len(names) == 8, names


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_never_more_handlers_than_threads(serve, threads):
    server = serve("serving:app", threads=threads)
    clients = send_all(server, "/counted", 8 * threads)
    for client in clients:
        assert client.response().body == b"counted"
    assert server.get("/state").json()["most"] == threads


def test_one_thread_is_the_main_thread(serve):
    server = serve("serving:app", threads=1)
    for _ in range(3):
        clients = send_all(server, "/counted", 6)
        for client in clients:
            client.response()
        info = server.get("/thread").json()
        assert info["main"] and info["native"] and info["registered"]
        assert info["name"] == "MainThread"
    assert server.get("/state").json()["most"] == 1


def test_app_threads_are_python_threads(serve):
    server = serve("serving:app", threads=4)
    clients = send_all(server, "/counted?sleep=0.05", 16)
    for client in clients:
        client.response()
    for _ in range(10):
        assert server.get("/thread").json()["registered"]


def test_quick_requests_while_seven_of_eight_threads_wait(serve):
    """All of many quick requests are answered before any of the slow ones may end."""
    server = serve("serving:app", threads=8)
    slow = send_all(server, "/wait?slow", 7)
    server.wait_marks("waiting", 7)
    with server.connect() as client:
        for number in range(2000):
            assert client.ask(f"/id?{number}").body == b"%d" % number
    for _ in range(200):
        assert server.get("/quick").body == b"quick"
    assert all(client.quiet() for client in slow)
    server.open_gate("slow")
    assert [client.response().body for client in slow] == [b"waited slow"] * 7


def test_a_queued_request_runs_when_a_thread_gets_free(serve):
    server = serve("serving:app", threads=2)
    first, second = send_all(server, "/wait?one", 1) + send_all(server, "/wait?two", 1)
    server.wait_marks("waiting", 2)
    queued = send_all(server, "/id?queued", 5)
    assert all(client.quiet() for client in queued)
    server.open_gate("two")
    assert second.response().body == b"waited two"
    assert [client.response().body for client in queued] == [b"queued"] * 5
    assert first.quiet()
    server.open_gate("one")
    assert first.response().body == b"waited one"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "path, marks, gate", [("/wait?busy", "waiting", "busy"), ("/spin", "spinning", "spin")]
)
def test_busy_threads_stop_neither_accepts_nor_uploads(serve, threads, path, marks, gate):
    """All threads are in the app: connections are accepted and small bodies read all the same."""
    server = serve("serving:app", threads=threads)
    busy = send_all(server, path, threads)
    server.wait_marks(marks, threads)
    body = b"x" * 60000
    waiting = [server.connect() for _ in range(10)]
    for client in waiting:
        client.send(request("/echo", "POST", body=body))
    for client in waiting:
        wait_for(
            lambda client=client: socket_state(server, client) == (True, 0),
            lambda client=client: f"accept and read: {socket_state(server, client)}",
        )
    assert all(client.quiet() for client in waiting + busy)
    server.open_gate(gate)
    for client in waiting:
        assert client.response().body == body
    for client in busy:
        assert client.response().status == 200


def test_bad_requests_are_refused_while_all_threads_are_busy(serve):
    """The loop answers what needs no app by itself."""
    server = serve("serving:app", threads=1)
    (busy,) = send_all(server, "/wait?busy", 1)
    server.wait_marks("waiting")
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert client.response().status == 400
        assert client.at_end()
    assert busy.quiet()


def test_a_stalled_upload_holds_no_thread(serve):
    server = serve("serving:app", threads=1)
    stalled = [server.connect() for _ in range(10)]
    for client in stalled:
        client.send(request("/echo", "POST", body=b"x" * 1000)[:-10])
    assert server.get("/quick").body == b"quick"
    for client in stalled:
        client.send(b"x" * 10)
        assert client.response().body == b"x" * 1000


def test_threads_are_made_on_demand(serve):
    server = serve("serving:app", threads=8)
    worker = server.worker()
    with server.connect() as client:
        for _ in range(500):
            client.ask("/quick")
    # Main thread, keeper, one or, where the machine was busy, two for the app.
    assert worker.num_threads() <= 4 + SANITIZERS_OWN
    for client in send_all(server, "/barrier", 8):
        client.response()
    assert 8 <= worker.num_threads() <= 10 + SANITIZERS_OWN


def test_idle_worker_has_few_threads(serve):
    assert serve("serving:app", threads=64).worker().num_threads() <= 3 + SANITIZERS_OWN


def test_cpu_bound_handler_leaves_others_running(serve):
    """Python switches threads by itself: a spinning handler must not starve the rest."""
    server = serve("serving:app", threads=4)
    (spinning,) = send_all(server, "/spin", 1)
    server.wait_marks("spinning")
    for number in range(20):
        assert server.get(f"/id?{number}").body == b"%d" % number
    assert spinning.quiet()
    server.open_gate("spin")
    assert spinning.response().body == b"spun"


def test_thread_locals_live_with_their_thread(serve):
    server = serve("serving:app", threads=1)
    with server.connect() as client:
        assert [int(client.ask("/local").body) for _ in range(20)] == list(range(1, 21))


def test_mixed_load_answers_everyone(serve):
    """Slow and quick handlers, streams and uploads from many clients at once; all answers right."""
    server = serve("serving:app", threads=4)
    wrong = []

    def talk(number):
        with server.connect() as client:
            for turn in range(30):
                kind = (number + turn) % 4
                if kind == 0:
                    good = client.ask(f"/id?{number}-{turn}").body == b"%d-%d" % (number, turn)
                elif kind == 1:
                    good = client.ask("/counted?sleep=0.001").body == b"counted"
                elif kind == 2:
                    good = (
                        client.ask("/echo", "POST", body=[b"x" * 5000] * turn).body
                        == b"x" * 5000 * turn
                    )
                else:
                    good = len(client.ask(f"/stream?count={turn}").body) == turn * 65536
                if not good:
                    wrong.append((number, turn))

    threads = [threading.Thread(target=talk, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
