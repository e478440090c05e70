"""The access log: what a line says, and that no reader and no client can break it."""

import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest
from client import SLOW, request, wait_for
from server import APPS, Port, program, run

COMBINED = re.compile(
    r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "(.*)" (\d+|-) (\d+)'
    r' "(.*)" "(.*)"'
)


def to_file(serve, tmp_path, *options, app="observed:app", **kwargs):
    path = tmp_path / "access.log"
    server = serve(app, "--access-logfile", path, *options, **kwargs)
    return server, lambda n: lines_of(path, n)


def lines_of(path, n):
    """The log's lines once there are `n` of them."""
    wait_for(lambda: path.exists() and path.read_bytes().count(b"\n") >= n, f"{n} lines")
    text = path.read_bytes().decode()
    assert text.endswith("\n")
    return text.splitlines()


def test_default_format(serve, tmp_path):
    server, lines = to_file(serve, tmp_path)
    server.get("/?a=b%20c", headers=[("Referer", "http://x/"), ("User-Agent", 'te"st')])
    server.request("/nothing", "HEAD")
    said = [COMBINED.fullmatch(line).groups() for line in lines(2)]
    assert said[0] == ("GET /?a=b%20c HTTP/1.1", "200", "5", "http://x/", 'te\\"st')
    assert said[1] == ("HEAD /nothing HTTP/1.1", "404", "0", "-", "-")


def test_off_by_default(serve):
    server = serve("observed:app")
    server.get("/")
    server.stop()
    assert server.stdout() == ""


def test_standard_output(serve):
    server = serve("observed:app", "--access-logfile", "-")
    server.get("/")
    # Each line is there at once, not only when the next client comes.
    wait_for(lambda: server.stdout().count("\n") == 1, "a line on standard output")
    assert COMBINED.fullmatch(server.stdout().strip())


def test_line_comes_although_other_threads_are_busy(serve, tmp_path):
    server, lines = to_file(serve, tmp_path, "--access-logformat", "%(U)s")
    busy = server.connect()
    busy.send(request("/wait?go"))
    server.wait_marks("waiting")
    for path in ["/a", "/b", "/c"]:
        server.get(path)
    assert lines(3) == ["/a", "/b", "/c"]
    server.open_gate("go")
    busy.response()
    assert lines(4)[3] == "/wait"


def test_atoms(serve, tmp_path):
    form = (
        "%(h)s|%(l)s|%(u)s|%(r)s|%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(B)s|%(b)s|%(f)s|%(a)s|%(p)s"
        "|%({X-One}i)s|%({none}i)s|%({x-reply}o)s|%({X-Reply-2}o)s|%({Content-Length}o)s"
        "|%({no}o)s|%({REMOTE_USER}e)s|%({wsgi.url_scheme}e)s|%({NO}e)s"
    )
    server, lines = to_file(serve, tmp_path, "--access-logformat", form)
    headers = [("X-One", "1"), ("Authorization", "Basic dXNlcjpwYXNz")]
    server.get("/fields?q=1", headers)
    assert lines(1)[0].split("|") == [
        *("127.0.0.1", "-", "user", "GET /fields?q=1 HTTP/1.1", "GET", "/fields", "q=1"),
        *("HTTP/1.1", "200", "1", "1", "-", "-", f"<{server.worker().pid}>"),
        *("1", "-", 'q\\"uote', "two", "1", "-", 'al\\"ice', "http", "-"),
    ]


def test_times(serve, tmp_path):
    server, lines = to_file(serve, tmp_path, "--access-logformat", "%(T)s %(M)s %(D)s %(L)s")
    server.get("/sleep?s=0.25")
    seconds, millis, micros, decimal = lines(1)[0].split()
    assert seconds == "0"
    assert 250 <= int(millis) < 250 + 2000 * SLOW
    assert int(micros) // 1000 == int(millis)
    assert decimal == f"{int(micros) / 1e6:.6f}"


def test_json(serve, tmp_path):
    server, lines = to_file(serve, tmp_path, "--access-logformat", "json")
    server.get('/?q="', headers=[("User-Agent", 'a"\\'), ("X-Request-ID", "id1")])
    line = json.loads(lines(1)[0])
    assert line.pop("time").endswith("Z")
    assert 0 <= line.pop("duration") < 10
    assert line == {
        **{"remote_addr": "127.0.0.1", "status": 200, "bytes": 5, "method": "GET", "path": "/"},
        **{"query": 'q="', "protocol": "HTTP/1.1", "user_agent": 'a"\\', "request_id": "id1"},
    }


@pytest.mark.parametrize("name", ["GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "GCP_PROJECT"])
def test_google_cloud(serve, tmp_path, name):
    server, lines = to_file(serve, tmp_path, "--access-logformat", "gcp", env={name: "shop"})
    trace = "0af7651916cd43dd8448eb211c80319c"
    server.post("/status?503", b"abc", [("traceparent", f"00-{trace}-b7ad6b7169203331-01")])
    line = json.loads(lines(1)[0])
    assert line["severity"] == "ERROR"
    assert line["message"] == "POST /status?503 503"
    assert line["logging.googleapis.com/trace"] == f"projects/shop/traces/{trace}"
    assert line["logging.googleapis.com/spanId"] == "b7ad6b7169203331"
    assert line["logging.googleapis.com/trace_sampled"] is True
    said = line["httpRequest"]
    assert re.fullmatch(r"\d+\.\d{6}s", said.pop("latency"))
    assert int(said.pop("requestSize")) > 60
    assert int(said.pop("responseSize")) > 100
    assert said == {
        **{"status": 503, "remoteIp": "127.0.0.1", "requestMethod": "POST"},
        **{"requestUrl": "http://test/status?503", "protocol": "HTTP/1.1"},
    }


def test_refused_requests(serve, tmp_path):
    form = '"%(r)s" %(s)s %(m)s'
    server, lines = to_file(serve, tmp_path, "--access-logformat", form, "--limit-request-body", 10)
    raws = [
        b"\x16\x03\x01 tls\r\n\r\n",
        b'GET / HTTP/1.1\r\nX: "\r\nno colon\r\n\r\n',
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n",
        request("/", headers=[(f"X-{i}", "v") for i in range(200)]),
        request("/read", "POST", [("Content-Length", "11")]),
    ]
    for raw in raws:
        with server.connect() as client:
            client.send(raw)
            client.response()
    server.get("/fail")
    said = lines(len(raws) + 1)
    assert said[0].startswith('"\\x16\\x03\\x01 tls" 400')
    assert said[1].startswith('"GET / HTTP/1.1" 400')
    assert said[2].startswith('"GET /aaaa') and said[2].endswith('" 414 -')
    assert said[3].startswith('"GET / HTTP/1.1" 431')
    assert said[4].startswith('"POST /read HTTP/1.1" 413')
    assert said[5] == '"GET /fail HTTP/1.1" 500 GET'


def test_aborted_requests(serve, tmp_path):
    server, lines = to_file(serve, tmp_path, "--access-logformat", "%(U)s %(s)s %(B)s")
    with server.connect() as client:
        client.send(request("/read", "POST", [("Content-Length", "100")]) + b"some")
        wait_for(lambda: server.lingering(), "the connection")
    assert lines(1)[-1] == "/read 499 0"
    client = server.connect()
    client.send(request("/stream"))
    server.wait_marks("streaming")
    client.reset()
    server.open_gate("stream")
    path, status, sent = lines(2)[-1].split()
    assert (path, status) == ("/stream", "200")
    assert 6 <= int(sent) <= 13


HOSTILE = [
    b'"',
    b"\\",
    b"\t",
    b"\x80\xff",
    b"\xe2\x80\xa8",
    b'" 200 5 "-" "forged',
    b"%(h)s",
    b"%n",
]


@pytest.mark.parametrize("form", ["combined", "json", "gcp"])
def test_no_client_can_forge_a_line(serve, tmp_path, form):
    server, lines = to_file(serve, tmp_path, "--access-logformat", form)
    for value in HOSTILE:
        with server.connect() as client:
            client.send(
                b"GET /?%b HTTP/1.1\r\nHost: a\r\nUser-Agent: a%bz\r\nReferer: %b\r\n"
                b"Authorization: Basic IgoKWzAxOg==\r\nX-Request-ID: %b\r\n\r\n"
                % (value.replace(b"\t", b"").replace(b" ", b""), value, value, value)
            )
            client.response()
    said = lines(len(HOSTILE))
    assert len(said) == len(HOSTILE)
    for line in said:
        if form == "combined":
            assert re.fullmatch(
                r'127\.0\.0\.1 - (\S+) \[[^]]+\] ("(?:[^"\\]|\\.)*" ?[\d -]*){3}', line
            )
        else:
            json.loads(line)


@pytest.mark.parametrize("form, named", [("%(x)s", "%(x)"), ("%(h)s %({a}q)s", "%({a}q)")])
def test_bad_format_is_an_error_that_names_the_atom(form, named):
    done = failing("--access-logfile", "-", "--access-logformat", form)
    assert done.returncode == 1
    assert named in done.stderr


def test_file_that_cannot_be_opened():
    done = failing("--access-logfile", "/no/such/folder/x")
    assert done.returncode == 1
    assert "/no/such/folder/x" in done.stderr


def failing(*options):
    port = Port()
    try:
        return run("-b", port, "-w", 1, "--chdir", APPS, *options, "observed:app")
    finally:
        port.close()


# Pipes.


class Pipe:
    """A pipe as the server's standard output. Reads only when told to."""

    def __init__(self, folder):
        self.path = folder / "pipe"
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(self.fd, True)
        self.data = bytearray()

    def command(self):
        return ["sh", "-c", f'exec "$@" >{self.path}', "sh", *program()]

    def start_reading(self):
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        while chunk := os.read(self.fd, 1 << 16):
            self.data += chunk

    def lines(self):
        return self.data.count(b"\n")


def ask_many(server, count, batch=50, client=None):
    """`count` requests on one connection, `batch` of them at once."""
    with client or server.connect() as client:
        for start in range(0, count, batch):
            n = min(batch, count - start)
            client.send(request("/") * n)
            got = b""
            while got.count(b"hello") < n:
                data = client.sock.recv(1 << 16)
                assert data
                got += data


def spread(server, workers, each):
    """Connections, as many to one worker as to the other."""
    found = {}

    def enough():
        client = server.connect()
        found.setdefault(client.ask("/pid").body, []).append(client)
        return len(found) == workers and min(map(len, found.values())) >= each

    wait_for(enough, "connections to all workers", timeout=30)
    return [client for clients in found.values() for client in clients[:each]]


def at_once(threads):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_two_workers_never_tear_a_line(serve, tmp_path):
    pipe = Pipe(tmp_path)
    form = "<%(p)s %(t)s " + "x" * 150 + " %(r)s>"
    server = serve(
        "observed:app",
        *("--access-logfile", "-", "--access-logformat", form),
        workers=2,
        command=pipe.command(),
    )
    pipe.start_reading()
    clients = spread(server, 2, 10)
    at_once([threading.Thread(target=ask_many, args=(server, 1000, 50, c)) for c in clients])
    server.stop()
    pipe.thread.join()
    said = [line for line in pipe.data.decode().splitlines() if "/pid" not in line]
    # A reader that gets no CPU for long enough costs lines, but never a part of one.
    assert len(said) + dropped(server) == 20000
    assert len(said) > 1000
    whole = re.compile(r"<<(\d+)> \[[^]]{26}\] x{150} GET / HTTP/1\.1>")
    assert len({whole.fullmatch(line).group(1) for line in said}) == 2


def dropped(server):
    return sum(map(int, re.findall(r"(\d+) access log lines dropped", server.log())))


def test_a_full_pipe_holds_nobody_up(serve, tmp_path):
    pipe = Pipe(tmp_path)
    server = serve(
        "observed:app",
        *("--access-logfile", "-", "--access-logformat", "%(r)s" + "x" * 200),
        command=pipe.command(),
    )
    start = time.monotonic()
    ask_many(server, 3000)
    assert time.monotonic() - start < 10 * SLOW
    server.wait_log("access log lines dropped")  # Said although the reader is not back.
    pipe.start_reading()
    wait_for(lambda: pipe.lines() > 100, "what was in the pipe")
    before = pipe.lines()
    server.get("/")
    wait_for(lambda: pipe.lines() > before, "a line again")
    server.stop()
    pipe.thread.join()
    assert dropped(server) + pipe.lines() == 3001
    assert all(re.fullmatch(r"GET / HTTP/1\.1x{200}", x) for x in pipe.data.decode().splitlines())


def test_a_reader_that_is_killed(serve, tmp_path):
    """As with `cwsgi ... | cat`: a broken pipe loses lines and nothing else."""
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    reader = subprocess.Popen(["cat", fifo], stdout=subprocess.DEVNULL)
    command = ["sh", "-c", f'exec "$@" >{fifo}', "sh", *program()]
    server = serve("observed:app", "--access-logfile", "-", workers=2, command=command)
    workers = {process.pid for process in server.workers()}
    server.get("/")
    os.kill(reader.pid, signal.SIGKILL)
    reader.wait()
    for _ in range(20):
        ask_many(server, 100)
    assert workers <= {process.pid for process in server.workers()}
