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
