"""wsgi.errors: text, any thread, lines never torn."""

import re
import threading

import pytest


@pytest.fixture(scope="module")
def server(serve_all):
    return serve_all("streams:app")


def test_write(server):
    assert server.get("/write").body == b"ok"
    server.wait_log("now it ends")
    log = server.log()
    for line in (
        "plain line",
        "caf\xe9 \u20ac \U0001f40d",
        "first",
        "second",
        "no end yet; now it ends",
    ):
        assert f"{line}\n" in log
    assert re.search(r"surrogate .* end\n", log)


def test_line_without_an_end(server):
    """What stands in no whole line is written too, at the latest when the request ends."""
    assert server.get("/unended").body == b"ok"
    server.wait_log("line without an end")


def test_print(server):
    assert server.get("/print").body == b"ok"
    server.wait_log("printed to errors\n")
    server.wait_log("printed to stderr\n")


def test_stdout_is_not_held_back(serve):
    """Unbuffered, as for a container's log: visible while the server runs."""
    server = serve("streams:app")
    server.get("/print")
    assert "printed to stdout\n" in server.stdout()


def test_bytes_are_refused(server):
    assert server.get("/bad-type").body == b"TypeError"


def test_logging(server):
    assert server.get("/logging").body == b"ok"
    server.wait_log("ValueError: logged exception\n")
    assert "logged warning\n" in server.log()


def test_stream_outlives_its_request(server):
    server.get("/keep")
    server.get("/use-kept")
    server.wait_log("written much later\n")


def test_very_long_line(server):
    server.get("/large")
    server.wait_log("x" * 1_000_000 + ">\n")


@pytest.mark.parametrize("workers", [1, 2])
def test_lines_are_never_torn(serve, workers):
    server = serve("streams:app", workers=workers)
    clients = [threading.Thread(target=server.get, args=(f"/many?name=n{n}",)) for n in range(4)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    found = set()
    for line in server.log().splitlines():
        if "<n" in line:
            match = re.search(r"<n(\d) (\d) (\d+) (\w*)>$", line)
            assert match, line
            name, number, count, filler = match.groups()
            assert filler == chr(ord("a") + int(number)) * (int(count) * 7 % 900)
            found.add((name, number, count))
    assert len(found) == 4 * 8 * 200


def test_validator_accepts_errors(serve):
    assert serve("streams:checked").get("/").body == b"ok"


def test_a_terminal_is_not_spoken_to(serve):
    """Neither by a path nor by an exception's text, escapes of one or two bytes alike."""
    server = serve("failing:app")
    with server.connect() as client:
        client.send(b"GET /raise?with=terminal&token=secret HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.response().status == 500
    server.wait_log("second line\n")
    raw = server.stderr_path.read_bytes()
    text = raw.decode()  # all of it is UTF-8
    bad = [c for c in text if (c < " " and c not in "\n\t") or "\x7f" <= c <= "\x9f"]
    assert not bad
    assert "ValueError: \\x1B[2J \\xC2\\x9B2J \\x7F \\x0D tab\t caf\xe9\nsecond line\n" in text
    assert "Error handling request GET /raise\n" in text
    assert "secret" not in text


def test_bytes_of_a_path(serve):
    """Decoded ones: as they are sent, such bytes are refused."""
    server = serve("failing:app", "--forwarded-allow-ips", "*")
    path, fields = "/%1B[2J%9b%C2%9B%c3%a9", [("SCRIPT_NAME", "/x")]
    assert server.get(path, fields).status == 500
    server.wait_log("path /\\x1B[2J\\x9B\\xC2\\x9B\xe9 does not begin with SCRIPT_NAME /x\n")


def test_the_query_where_it_is_asked_for(serve):
    server = serve("failing:app", "--log-query")
    server.get("/raise?token=secret")
    server.wait_log("Error handling request GET /raise?token=secret\n")


def test_hooks_do_not_speak_to_a_terminal(serve, tmp_path):
    """Lines that come from Python, in a worker and outside of it."""
    conf = tmp_path / "a.conf.py"
    conf.write_text(
        "def when_ready(server): server.log.error('when \\x1b[2J \\x9b')\n"
        "def post_worker_init(worker): worker.log.error('init \\x1b[2J \\x9b')\n"
    )
    server = serve("failing:app", "-c", conf)
    server.wait_log("when \\x1B[2J \\xC2\\x9B\n")
    server.wait_log("init \\x1B[2J \\xC2\\x9B\n")
