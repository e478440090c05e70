"""--metrics: Prometheus text, summed over workers and their predecessors."""

import os
import re
import signal
import time

import pytest
from client import SLOW, Client, request, wait_for
from server import Port, UnixPath, descriptors

SAMPLE = re.compile(r'([a-z_]+)(\{[a-z]+="[^"]*"\})? (-?[0-9.e+]+)')


def scrape(server, path="/metrics"):
    response = server.get(path)
    assert response.status == 200
    assert response.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    values, described = {}, {}
    for line in response.body.decode().splitlines():
        if line.startswith("# "):
            _, what, name, text = line.split(" ", 3)
            assert text and (what, name) not in described
            described[what, name] = text
            continue
        name, labels, value = SAMPLE.fullmatch(line).groups()
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        assert ("TYPE", name) in described or ("TYPE", family) in described, line
        assert name + (labels or "") not in values
        values[name + (labels or "")] = float(value)
    assert {name for what, name in described if what == "HELP"} == {
        name for what, name in described if what == "TYPE"
    }
    return values


def test_requests(serve):
    server = serve("observed:app", "--metrics", "/metrics")
    for _ in range(3):
        server.get("/")
    server.get("/nothing")
    server.get("/sleep?s=0.02")
    with server.connect() as client:
        client.send(b"nonsense\r\n\r\n")
        client.response()
    values = scrape(server)
    assert values['cwsgi_requests_total{status="200"}'] == 4
    assert values['cwsgi_requests_total{status="404"}'] == 1
    assert values['cwsgi_requests_total{status="400"}'] == 1
    assert values["cwsgi_request_duration_seconds_count"] == 5
    assert 0.02 <= values["cwsgi_request_duration_seconds_sum"] < 5 * SLOW
    assert values['cwsgi_request_duration_seconds_bucket{le="0.01"}'] <= 4
    assert values['cwsgi_request_duration_seconds_bucket{le="+Inf"}'] == 5
    assert values["cwsgi_queue_duration_seconds_count"] == 5
    assert values["cwsgi_bytes_received_total"] > 5 * 30
    assert values["cwsgi_bytes_sent_total"] > 5 * 80
    assert values["cwsgi_workers"] == 1
    assert values['cwsgi_worker_resident_bytes{worker="1"}'] > 1_000_000
    # The scrapes themselves are not counted.
    assert scrape(server)['cwsgi_requests_total{status="200"}'] == 4


def test_gauges(serve):
    server = serve("observed:app", "--metrics", "/metrics", threads=2)
    clients = [server.connect() for _ in range(5)]
    for client in clients:
        client.send(request("/wait?go"))
    server.wait_marks("waiting", 2)
    wait_for(lambda: scrape(server)["cwsgi_requests_waiting"] == 3, "three to wait")
    values = scrape(server)
    assert values["cwsgi_threads_busy"] == 2
    assert values["cwsgi_threads"] == 2
    assert values["cwsgi_connections"] == 6
    server.open_gate("go")
    for client in clients:
        assert client.response().status == 200
    wait_for(lambda: scrape(server)["cwsgi_threads_busy"] == 0, "idle threads")
    values = scrape(server)
    assert values["cwsgi_requests_waiting"] == 0
    assert values['cwsgi_queue_duration_seconds_bucket{le="+Inf"}'] == 5
    assert values["cwsgi_connections_accepted_total"] >= 6


def pids_asked(server, count):
    """Asks until `count` workers have answered; returns how many answers there were."""
    seen, asked = set(), 0

    def all_seen():
        nonlocal asked
        seen.add(server.get("/pid").body)
        asked += 1
        return len(seen) == count

    wait_for(all_seen, f"{count} workers", timeout=30)
    return asked


def test_sums_over_workers_and_their_successors(serve):
    server = serve("observed:app", "--metrics", "/metrics", workers=2)
    asked = pids_asked(server, 2)
    wait_for(lambda: total(scrape(server)) == asked, "all to be counted")
    assert scrape(server)["cwsgi_workers"] == 2
    for _ in range(2):
        victim = server.workers()[0].pid
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda gone=victim: gone not in [w.pid for w in server.workers()], "its end")
        wait_for(lambda: len(server.workers()) == 2, "a successor")
        asked += pids_asked(server, 2)
    wait_for(lambda: total(scrape(server)) == asked, "sums that did not fall")
    assert scrape(server)["cwsgi_connections"] <= 2


def total(values):
    return sum(n for name, n in values.items() if name.startswith("cwsgi_requests_total"))


@pytest.mark.parametrize("unix", [False, True])
def test_address_of_their_own(serve, tmp_path, unix):
    where = UnixPath(tmp_path / "metrics") if unix else Port()
    server = serve("observed:app", "--metrics", where, workers=2, threads=1)
    assert server.get("/metrics").status == 404
    asked = pids_asked(server, 2)
    busy = server.connect()
    busy.send(request("/wait?go"))
    server.wait_marks("waiting")

    def ask(path):
        with Client(where.connect()) as client:
            client.send(request(path))
            return client.response()

    wait_for(lambda: f'{{status="200"}} {asked}\n'.encode() in ask("/metrics").body, "all counted")
    assert b"cwsgi_threads_busy 1\n" in ask("/metrics").body
    assert ask("/").status == 404
    server.open_gate("go")
    assert busy.response().body == b"waited"
    server.stop()
    where.close()


def test_access_log_lines_dropped(serve, tmp_path):
    fifo = tmp_path / "full"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    server = serve(
        "observed:app",
        *("--metrics", "/metrics", "--access-logfile", fifo),
        *("--access-logformat", "x" * 1000),
    )
    for _ in range(200):
        server.get("/")
    assert scrape(server)["cwsgi_access_log_dropped_total"] > 50
    os.close(reader)


def test_other_paths_and_methods_are_the_apps(serve):
    server = serve("observed:app", "--metrics", "/internal/m")
    assert server.get("/metrics").status == 404
    assert server.post("/internal/m", b"").status == 404
    head = server.request("/internal/m", "HEAD")
    assert head.status == 200 and int(head.header("Content-Length")) > 1000


@pytest.mark.parametrize("workers", [1, 2])
def test_scrapes_leave_nothing_behind(serve, workers):
    server = serve("observed:app", "--metrics", "/metrics", workers=workers)
    pids_asked(server, workers)

    def round_of_scrapes():
        for _ in range(200):
            scrape(server)
        workers = server.workers()
        memory = sum(process.memory_full_info().uss for process in workers)
        return (
            memory,
            [len(descriptors(process.pid)) for process in workers],
            sum(process.num_threads() for process in workers),
        )

    before = round_of_scrapes()
    grown = 0
    while grown < 6:
        after = round_of_scrapes()
        if after[0] < before[0] + 50_000:
            break
        # A thread that starts late costs once; on a busy machine many do so, one by one.
        grown += after[2] == before[2]
        before = after
    else:
        pytest.fail(f"each round takes memory: {after[0]} after {before[0]}")
    # The last connection may be closed a little later.
    wait_for(
        lambda: [len(descriptors(process.pid)) for process in server.workers()] <= before[1],
        "the descriptors to be as few as before",
    )


def queue_seconds(server):
    """What the first request has waited, once it is counted: after its response."""

    def counted():
        text = server.get("/metrics").body.decode()
        found = re.findall(r"^cwsgi_queue_duration_seconds_(?:sum|count) (\S+)$", text, re.M)
        return [float(number) for number in found] if float(found[1]) else None

    return wait_for(counted, "the request to be counted")[0]


@pytest.mark.parametrize(
    "form",
    [
        lambda t: f"t={t:.3f}",
        lambda t: f"{t:.6f}",
        lambda t: f"{t * 1e3:.0f}",
        lambda t: f"t={t * 1e6:.0f}",
        lambda t: f"{int(t * 1e6)}000",
    ],
)
@pytest.mark.parametrize("trusted", [True, False])
def test_queue_time_counts_from_the_proxy(serve, form, trusted):
    options = [] if trusted else ["--forwarded-allow-ips", "192.0.2.1"]
    server = serve("hello:app", "--metrics", "/metrics", *options)
    server.get("/", [("X-Request-Start", form(time.time() - 20))])
    assert (19.9 < queue_seconds(server) < 30) == trusted


@pytest.mark.parametrize("value", ["t=", "x", "-5", "9" * 30, "5", "t=99999999999", "1e9"])
def test_a_start_that_cannot_be(serve, value):
    server = serve("hello:app", "--metrics", "/metrics")
    assert server.get("/", [("X-Request-Start", value)]).status == 200
    assert queue_seconds(server) < 10
