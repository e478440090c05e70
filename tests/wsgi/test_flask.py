"""A real Flask app, asked by real HTTP clients."""

import hashlib
import io
import random
import threading

import httpx
import pytest
import requests
from client import wait_for

pytest.importorskip("flask")
MIB = 1 << 20


@pytest.fixture(scope="module")
def server(serve_all):
    return serve_all("flaskapp:app")


@pytest.fixture
def session():
    with requests.Session() as session:
        yield session


def test_index(server, session):
    response = session.get(server.url("/"))
    assert (response.status_code, response.text) == (200, "Hello, Flask!")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Content-Length"] == "13"


def test_session_cookie(server, session):
    for number in range(1, 6):
        assert session.get(server.url("/visits")).json() == {"visits": number}
    assert requests.get(server.url("/visits")).json() == {"visits": 1}


def test_cookies(server, session):
    session.cookies.set("mine", "a-b")
    session.get(server.url("/cookies"))
    got = session.get(server.url("/cookies")).json()
    assert got["one"] == "1"
    assert got["two"] == "caf\xe9; x"
    assert got["mine"] == "a-b"


@pytest.mark.parametrize(
    "value", [{}, [1, 2.5, None], {"caf\xe9": "\u20ac\U0001f40d"}, "x" * 200_000]
)
def test_json(server, session, value):
    response = session.post(server.url("/json"), json=value)
    assert response.json() == {"got": value, "kind": "application/json"}


def test_form(server, session):
    data = {"a": ["1", "2"], "b": "caf\xe9 & more = fun"}
    got = session.post(server.url("/form"), data=data).json()
    assert got == {"a": ["1", "2"], "b": ["caf\xe9 & more = fun"]}


def test_text_and_query(server, session):
    response = session.get(server.url("/text/caf\xe9/%2F \u20ac?a=1&a=2&b=%26"))
    got = response.json()
    assert got["words"] == "caf\xe9// \u20ac"
    assert got["query"] == {"a": ["1", "2"], "b": ["&"]}


def test_upload_of_50_mb(server, session):
    data = random.Random(50).randbytes(50 * MIB)
    files = {"file": ("big.bin", io.BytesIO(data))}
    got = session.post(server.url("/upload"), files=files).json()
    expected = {"name": "big.bin", "length": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert got == expected
    assert session.get(server.url("/")).status_code == 200


@pytest.mark.parametrize("size", [0, 1, 65536, 5 * MIB])
def test_raw_upload_by_length_and_by_chunks(server, session, size):
    data = random.Random(size).randbytes(size)
    expected = {"length": size, "sha256": hashlib.sha256(data).hexdigest()}
    assert session.post(server.url("/raw"), data=data).json() == expected
    if data:
        pieces = (data[at : at + 10_000] for at in range(0, size, 10_000))
        assert session.post(server.url("/raw"), data=pieces).json() == expected


def test_stream(server, session):
    response = session.get(server.url("/stream"), stream=True)
    lines = list(response.iter_lines(decode_unicode=True))
    assert lines == [f"line {number} of /stream" for number in range(1000)]


def test_file_and_range(server, session):
    whole = session.get(server.url("/file"))
    part = session.get(server.url("/file"), headers={"Range": "bytes=10-29"})
    assert part.status_code == 206
    assert part.content == whole.content[10:30]
    assert part.headers["Content-Range"] == f"bytes 10-29/{len(whole.content)}"
    again = session.get(server.url("/file"), headers={"If-None-Match": whole.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert session.head(server.url("/file")).headers["Content-Length"] == str(len(whole.content))


def test_errors(server, session):
    assert session.get(server.url("/error")).status_code == 500
    server.wait_log("RuntimeError: an error in a view")
    for code in (400, 403, 404, 410, 418, 500, 503):
        assert session.get(server.url(f"/abort/{code}")).status_code == code
    assert session.get(server.url("/nowhere")).json() == {"error": "not here"}
    assert session.post(server.url("/")).status_code == 405
    assert session.get(server.url("/")).status_code == 200


def test_redirect(server, session):
    response = session.get(server.url("/moved"))
    assert response.json() == {"visits": 1}
    assert response.url == server.url("/visits")


def test_options_and_head(server, session):
    assert "GET" in session.options(server.url("/")).headers["Allow"]
    assert session.head(server.url("/")).headers["Content-Length"] == "13"


def test_httpx(server):
    with httpx.Client(base_url=server.url()) as client:
        for number in range(1, 10):
            assert client.get("/visits").json() == {"visits": number}
        assert client.post("/json", json=[1]).json()["got"] == [1]


def test_in_parallel(server):
    """Sessions of many clients at once are kept apart."""
    wrong = []

    def visit():
        with requests.Session() as session:
            for number in range(1, 21):
                if session.get(server.url("/visits")).json() != {"visits": number}:
                    wrong.append(number)

    threads = [threading.Thread(target=visit) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_two_workers(serve):
    server = serve("flaskapp:app", workers=2)
    wait_for(lambda: len(server.workers()) == 2, "two workers")
    with requests.Session() as session:
        for number in range(1, 30):
            answer = session.get(server.url("/visits"), headers={"Connection": "close"})
            assert answer.json() == {"visits": number}
