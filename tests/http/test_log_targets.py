"""Error log files, syslog and statsd, as a running server uses them."""

import re
import signal
import socket

import pytest
from client import SLOW, request, wait_for


class Daemon:
    """A datagram socket that keeps what it gets."""

    def __init__(self, address):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.sock.settimeout(10 * SLOW)
        self.got = []

    def read(self):
        """What has come so far."""
        self.sock.setblocking(False)
        try:
            while True:
                self.got.append(self.sock.recv(65536).decode())
        except BlockingIOError:
            return self.got

    def wait(self, pattern):
        def found():
            return [m for m in map(re.compile(pattern).search, self.read()) if m]

        return wait_for(found, lambda: f"{pattern!r} in {self.got}")

    def close(self):
        self.sock.close()


@pytest.fixture(params=["unix", "udp"])
def daemon(request, tmp_path):
    one = Daemon(str(tmp_path / "sock") if request.param == "unix" else ("127.0.0.1", 0))
    one.address = (
        f"unix://{tmp_path}/sock"
        if request.param == "unix"
        else f"127.0.0.1:{one.sock.getsockname()[1]}"
    )
    yield one
    one.close()


def test_error_log_file(serve, tmp_path):
    path = tmp_path / "error.log"
    server = serve("observed:app", "--error-logfile", path)
    server.get("/fail")
    server.get("/log")
    wait_for(lambda: path.exists() and "from the app\n" in path.read_text(), "wsgi.errors")
    text = path.read_text()
    assert "[ERROR] Error handling request GET /fail\nTraceback" in text
    assert "ValueError: as asked\n" in text
    assert "as asked" not in server.log()


def syslog_url(daemon):
    return f"{daemon.address}#dgram" if "unix" in daemon.address else f"udp://{daemon.address}"


def test_syslog(serve, daemon):
    server = serve(
        "observed:app",
        *("--log-syslog", "--log-syslog-to", syslog_url(daemon)),
        *("--log-syslog-facility", "local2", "--access-logformat", "%(r)s %(s)s"),
    )
    server.get("/fail")
    pid = server.worker().pid
    prefix = re.escape(f"cwsgi.observed.app.error: [{pid}] ")
    # The traceback is in the same message, as in Python's.
    daemon.wait(
        rf"(?s)^<147>{prefix}Error handling request GET /fail\nTraceback.*\nValueError: as asked$"
    )
    daemon.wait(f"^<150>{prefix.replace('error', 'access')}GET /fail HTTP/1.1 500$")
    assert "as asked" in server.log()  # As before, too.
    assert server.stdout() == ""


def test_syslog_prefix_and_no_access(serve, daemon):
    server = serve(
        "observed:app",
        *("--log-syslog", "--log-syslog-to", syslog_url(daemon), "--log-syslog-prefix", "shop"),
        "--disable-redirect-access-to-syslog",
    )
    server.get("/")
    server.get("/fail")
    daemon.wait(r"(?s)^<11>gunicorn\.shop\.error: \[\d+\] Error.*ValueError")
    assert not [line for line in daemon.read() if "access" in line]


def test_syslog_that_nobody_hears(serve, tmp_path):
    server = serve(
        "observed:app", "--log-syslog", "--log-syslog-to", f"unix://{tmp_path}/nobody#dgram"
    )
    for _ in range(50):
        assert server.get("/").body == b"hello"


def test_statsd(serve, daemon):
    server = serve(
        "observed:app",
        *("--statsd-host", daemon.address, "--statsd-prefix", "shop."),
        *("--dogstatsd-tags", "a:b,c"),
    )
    server.get("/status?404")
    daemon.wait(r"(?m)^shop\.gunicorn\.requests:1\|c\|@1\.0\|#a:b,c$")
    daemon.wait(r"(?m)^shop\.gunicorn\.request\.status\.404:1\|c\|@1\.0\|#a:b,c$")
    daemon.wait(r"(?m)^shop\.gunicorn\.request\.duration:\d+\.\d{3}\|ms\|#a:b,c$")
    server.get("/fail")
    daemon.wait(r"(?m)^shop\.gunicorn\.log\.error:1\|c")


def test_statsd_batches(serve, daemon):
    """Many requests in few datagrams, none longer than a frame takes."""
    server = serve("observed:app", "--statsd-host", daemon.address)
    client = server.connect()
    client.send(request("/") * 300)
    for _ in range(300):
        client.response()
        daemon.read()
    counted = re.compile(r"gunicorn\.requests:(\d+)\|c\|@1\.0")
    wait_for(
        lambda: sum(int(n) for d in daemon.read() for n in counted.findall(d)) == 300,
        "300 requests counted",
    )
    assert sum(d.count("gunicorn.request.duration:") for d in daemon.got) == 300
    assert len(daemon.got) < 60
    assert max(map(len, daemon.got)) <= 1432
    assert not any(d.endswith("\n") for d in daemon.got)


def test_statsd_host_that_does_not_exist(serve):
    server = serve("observed:app", "--statsd-host", "no.such.host.invalid:8125")
    assert server.get("/").status == 200
    server.wait_log("no statsd metrics: cannot look up no.such.host.invalid")


def test_captured_output(serve, tmp_path):
    """What the app prints goes to the error log, also after that was rotated."""
    path = tmp_path / "error.log"
    server = serve("ops:app", "--capture-output", "--error-logfile", path)
    server.get("/print?one")
    path.rename(tmp_path / "error.log.1")
    server.send_signal(signal.SIGUSR1)
    wait_for(path.exists, "the new log")

    def printed():
        server.get("/print?two")
        return "printed two" in path.read_text() and "complained two" in path.read_text()

    wait_for(printed, "output in the new log")
    old = (tmp_path / "error.log.1").read_text()
    assert "printed one" in old and "complained one" in old
    assert server.log() == "" and server.stdout() == ""


def test_mounts_alone_have_one_name_in_syslog(serve, daemon):
    """Supervisor and workers call the service alike, by its first mount."""
    to = syslog_url(daemon)
    server = serve(None, "--log-syslog", "--log-syslog-to", to, "--mount", "/a=observed:app")
    server.get("/a/fail")
    daemon.wait(r"error: .*Error handling request")
    names = {re.match(r"<\d+>(.*?)\.(error|access): ", line)[1] for line in daemon.got}
    assert names == {"cwsgi./a=observed.app"}
