"""Real ASGI frameworks by real clients: what of them leans on the server."""

import contextlib
import hashlib
import json
import re
from pathlib import Path

import pytest
from client import request as raw
from client import wait_for

httpx = pytest.importorskip("httpx")
websockets = pytest.importorskip("websockets")
from websockets.exceptions import InvalidStatus  # noqa: E402
from websockets.sync.client import connect  # noqa: E402

FRAMEWORKS = ["fastapi", "starlette", "django", "quart", "litestar", "falcon"]
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fastapi"
LARGE = 100 * 1024 * 1024
PIECE = bytes(range(256)) * 4096


class Site:
    """A server of one framework's app, with a client."""

    def __init__(self, server):
        self.server = server
        self.client = httpx.Client(base_url=server.url(), timeout=50, trust_env=False)

    def __getattr__(self, name):
        return getattr(self.server, name)

    def socket(self, path, **options):
        return connect(f"ws://{self.server.binds[0]}{path}", proxy=None, **options)


def served(name, loop="asyncio"):
    """A fixture: the app of a framework, served."""

    @pytest.fixture(scope="module", name=name)
    def site(serve_all):
        pytest.importorskip(name)
        if loop == "uvloop":
            pytest.importorskip("uvloop")
        site = Site(serve_all(f"asgi_{name}:app", "--loop", loop, "--log-level", "debug"))
        (site.server.state / "served.bin").write_bytes(PIECE)
        yield site
        site.client.close()

    return site


fastapi, litestar, falcon = served("fastapi"), served("litestar"), served("falcon")
django, quart, starlette = served("django"), served("quart", "uvloop"), served("starlette")


@pytest.fixture(scope="module", params=["asyncio", "uvloop", "debug"])
def ways(serve_all, request):
    """By both loops, and in asyncio's debug mode with warnings as errors."""
    pytest.importorskip("starlette")
    options, env = ["--loop", request.param], None
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    if request.param == "debug":
        options = []
        env = {"PYTHONASYNCIODEBUG": "1", "PYTHONWARNINGS": "error,default::DeprecationWarning"}
    site = Site(serve_all("asgi_starlette:app", *options, "--log-level", "debug", env=env))
    (site.server.state / "served.bin").write_bytes(PIECE)
    yield site
    site.client.close()


@pytest.fixture
def site(request):
    """A framework's site, by its name."""
    return request.getfixturevalue(request.param)


def each(*names):
    return pytest.mark.parametrize("site", names, indirect=True)


def large_body():
    for _ in range(LARGE // len(PIECE)):
        yield PIECE


@pytest.fixture(scope="module")
def large_digest():
    digest = hashlib.sha256()
    for piece in large_body():
        digest.update(piece)
    return {"size": LARGE, "sha256": digest.hexdigest()}


class Multipart:
    """A form with one large file, made as it is read."""

    def __init__(self, name="file"):
        self.head = (
            f'--limit\r\nContent-Disposition: form-data; name="name"\r\n\r\nlarge\r\n'
            f'--limit\r\nContent-Disposition: form-data; name="{name}"; filename="l.bin"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        self.tail = b"\r\n--limit--\r\n"
        self.headers = {
            "Content-Type": "multipart/form-data; boundary=limit",
            "Content-Length": str(len(self.head) + LARGE + len(self.tail)),
        }

    def __iter__(self):
        yield self.head
        yield from large_body()
        yield self.tail


def leave_a_stream(site, path, first):
    """Reads the stream's begin, and closes."""
    with site.connect() as client:
        client.send(raw(path))
        client.read_until(first)


def wait_for_generator(site, name, count):
    """Waits for the end of a generator that was given up, for which Python may take its time."""

    def ended():
        site.get("/collect")
        return len(site.marks(name)) >= count

    wait_for(ended, f"{count} marks {name!r}", step=0.05)


# What all of them do.


@each("fastapi", "starlette", "quart", "litestar", "falcon")
def test_lifespan_has_started(site):
    assert site.marks("lifespan") == ["start"]


@pytest.mark.parametrize("name", ["fastapi", "starlette", "quart", "litestar", "falcon"])
def test_lifespan_ends(serve, name):
    pytest.importorskip(name)
    server = serve(f"asgi_{name}:app")
    assert server.stop() == 0
    assert server.marks("lifespan") == ["start", "end"]


@each("quart", "falcon")
def test_json(site):
    value = {"a": [1, 2.5, None, "\u20ac"]}
    assert site.client.post("/json", json=value).json() == {"got": value}


@each("starlette", "quart", "litestar", "falcon")
def test_a_streamed_upload_of_100_mb(site, large_digest):
    assert site.client.post("/digest", content=large_body()).json() == large_digest


@each("fastapi", "django")
def test_a_form_upload_of_100_mb(site, large_digest):
    form = Multipart()
    got = site.client.post("/upload", content=iter(form), headers=form.headers).json()
    assert {name: got[name] for name in large_digest} == large_digest


@each("starlette", "quart")
def test_form_and_file(site):
    got = site.client.post("/form", data={"a": "1 \u20ac"}, files={"file": ("f.txt", b"inside")})
    assert got.json() == {"a": "1 \u20ac", "file": "inside"}


@each("quart", "litestar", "falcon", "django")
def test_stream(site):
    response = site.client.get("/stream")
    assert response.text == "0\n1\n2\n"
    assert response.headers["transfer-encoding"] == "chunked"


@each("starlette", "quart", "litestar", "falcon", "fastapi")
def test_background(site):
    before = len(site.marks("background"))
    assert "answered" in site.client.get("/background").text
    site.wait_marks("background", before + 1)


@each(*FRAMEWORKS)
def test_an_exception(site):
    before = site.log().count("ValueError: deliberate")
    response = site.client.get(
        {"django": "/raises", "starlette": "/raises"}.get(name(site), "/raise")
    )
    assert response.status_code == 500
    # Frameworks answer it themselves; those that raise it again have it logged here.
    again = name(site) in ("fastapi", "starlette")
    if again:
        wait_for(lambda: site.log().count("ValueError: deliberate") > before, "the traceback")
    assert site.client.get("/nowhere").status_code == 404


def name(site):
    return re.search(r"asgi_(\w+):app", " ".join(site.server.command))[1]


@each("quart", "litestar", "falcon", "starlette")
def test_websocket(site):
    with site.socket("/echo") as socket:
        for text in ("one", "two \u20ac", "x" * 100_000):
            socket.send(text)
            assert socket.recv() == text.upper()


@pytest.mark.parametrize(
    ("site", "path"), [("quart", "/endless"), ("falcon", "/events")], indirect=["site"]
)
def test_a_stream_ends_when_its_client_leaves(site, path):
    leave_a_stream(site, path, b"tick")
    site.wait_marks(path[1:])


def test_litestar_stream_is_left(litestar):
    """Its task group's exception is no error of the app."""
    leave_a_stream(litestar, "/events", b"tick")
    litestar.wait_log("client left during GET /events")
    assert "Error handling request GET /events" not in litestar.log()


@each("quart", "litestar", "falcon", "starlette")
def test_many_sockets_at_once(site):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(site.socket("/echo", compression=None)) for _ in range(50)]
        for number, socket in enumerate(sockets):
            socket.send(f"n{number}")
        assert [socket.recv() for socket in sockets] == [f"N{n}" for n in range(50)]


# FastAPI.


def test_fastapi_validates(fastapi):
    got = fastapi.client.post("/items", json={"name": "tea", "price": 2.5})
    assert got.json() == {"name": "tea", "price": 2.5, "tags": [], "total": 5.0}
    assert fastapi.client.post("/items", json={"name": "tea"}).status_code == 422
    assert fastapi.client.get("/items/7?q=x").json() == {"number": 7, "q": "x"}
    assert fastapi.client.get("/items/404").json() == {"detail": "no such item"}


def test_fastapi_form(fastapi):
    got = fastapi.client.post("/form", data={"name": "a b", "note": "\u20ac&="})
    assert got.json() == {"name": "a b", "note": "\u20ac&="}


def test_fastapi_state_of_lifespan(fastapi):
    assert fastapi.client.get("/state").json() == {"pool": "open"}


def test_fastapi_runs_plain_functions_in_threads(fastapi):
    assert fastapi.client.get("/thread").json() == {"main": False}


def test_fastapi_gives_resources_back(fastapi):
    assert fastapi.client.get("/depends").json() == {"has": "resource"}
    assert fastapi.wait_marks("resource", 2) == ["taken", "given back"]


def test_fastapi_mounted_app(fastapi):
    got = fastapi.client.get("/below/where").json()
    assert got == {"root": "/below", "url": fastapi.url("/below/where")}


def test_fastapi_websocket(fastapi):
    with fastapi.socket("/chat/tea") as socket:
        socket.send(json.dumps({"a": 1}))
        assert json.loads(socket.recv()) == {"room": "tea", "got": {"a": 1}}
    assert fastapi.wait_marks("gone") == ["1000"]


def test_fastapi_describes_itself(fastapi):
    paths = fastapi.client.get("/openapi.json").json()["paths"]
    assert "/items/{number}" in paths


def test_fastapi_example(serve):
    pytest.importorskip("fastapi")
    site = Site(serve("main:app", chdir=EXAMPLE))
    with site.client:
        assert "Hello, World!" in site.client.get("/").text
        got = site.client.post("/orders", json={"what": "tea", "count": 2}).json()
        assert got == {"what": "tea", "total": 5.0}
        with site.client.stream("GET", "/count") as response:
            assert next(response.iter_lines()) == "data: 1"
    with site.socket("/echo") as socket:
        socket.send("hello")
        assert socket.recv() == "HELLO"


# Starlette.


@pytest.mark.parametrize("below", ["", "/stamped", "/zipped"])
def test_starlette_stream(ways, below):
    response = ways.client.get(f"{below}/count")
    assert response.text == "0\n1\n2\n"
    assert (response.headers.get("x-stamp") is not None) == (below == "/stamped")


@pytest.mark.parametrize("below", ["", "/stamped", "/zipped"])
def test_starlette_server_sent_events(ways, below):
    before = len(ways.marks("events"))
    with ways.client.stream("GET", f"{below}/endless") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.iter_lines()
        assert [next(lines) for _ in range(6)] == [
            "id: 0",
            "data: tick",
            "",
            "id: 1",
            "data: tick",
            "",
        ]
    wait_for_generator(ways, "events", before + 2)


def test_starlette_stream_that_waits_is_left(ways):
    """As with other servers: the generator is ended, though it never sends again."""
    before = len(ways.marks("silent"))
    leave_a_stream(ways, "/silent", b"first")
    wait_for_generator(ways, "silent", before + 1)


def test_starlette_is_disconnected(ways):
    before = len(ways.marks("poll"))
    with ways.connect() as client:
        client.send(raw("/poll"))
        assert ways.wait_marks("poll", before + 1)[-1] == "False"
    assert ways.wait_marks("poll", before + 2)[-1] == "True"


def test_starlette_is_disconnected_leaves_the_body(ways):
    got = ways.client.post("/poll-body", content=b"abc").json()
    assert got == {"body": "abc", "gone": [False] * 3}


@pytest.mark.parametrize(
    "framing", ["Content-Length: 2000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nffffff\r\n"]
)
def test_starlette_client_leaves_in_its_upload(ways, framing):
    before = len(ways.marks("cut"))
    with ways.connect() as client:
        client.send(f"POST /cut HTTP/1.1\r\nHost: x\r\n{framing}".encode() + PIECE)
        client.finish_sending()
        client.read()
    ways.wait_marks("cut", before + 1)


def test_starlette_middleware(ways, large_digest):
    got = ways.client.get("/stamped/context", headers={"X-Name": "me"})
    assert (got.text, got.headers["x-stamp"]) == ("me", "/stamped/context")
    assert ways.client.get("/stamped/raises").status_code == 500
    before = len(ways.marks("background"))
    assert ways.client.get("/stamped/background").text == "answered"
    ways.wait_marks("background", before + 1)
    small = hashlib.sha256(PIECE).hexdigest()
    got = ways.client.post("/stamped/digest", content=iter([PIECE[:1000], PIECE[1000:]]))
    assert got.json() == {"size": len(PIECE), "sha256": small}


def test_starlette_contexts_are_apart(ways):
    assert ways.client.get("/context", headers={"X-Name": "me"}).text == "nobody"


def test_starlette_task_groups(ways):
    got = ways.client.get("/group").json()
    assert got[:2] == ["cancelled", "cancelled"] and got[3:] == ["thread"]


def test_starlette_files(ways):
    response = ways.client.get("/file")
    assert response.content == PIECE
    assert response.headers["content-length"] == str(len(PIECE))
    part = ways.client.get("/file", headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, PIECE[5:10])
    assert ways.client.head("/file").headers["content-length"] == str(len(PIECE))
    static = ways.client.get("/static/served.bin")
    assert static.content == PIECE
    again = ways.client.get("/static/served.bin", headers={"If-None-Match": static.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_starlette_state_and_mounts(ways):
    assert ways.client.get("/state").json() == {"shared": "value"}
    got = ways.client.get("/sub/where?q=1").json()
    assert got == {"root": "/sub", "url": ways.url("/sub/where?q=1")}


def test_starlette_exceptions(ways):
    refused = ways.client.get("/refuses")
    assert (refused.status_code, refused.text, refused.headers["x-tea"]) == (
        418,
        "short and stout",
        "pot",
    )
    with pytest.raises(httpx.RemoteProtocolError):
        ways.client.get("/raises-in-stream")
    assert ways.client.get("/count").text == "0\n1\n2\n"


def test_starlette_forks(ways):
    for _ in range(3):
        assert ways.client.get("/fork").json() == {"status": 7}


def test_starlette_websockets(ways):
    with ways.socket("/echo", subprotocols=["chat"]) as socket:
        assert socket.subprotocol == "chat"
    wait_for(lambda: "1000" in ways.marks("closed"), "the close")
    with pytest.raises(InvalidStatus) as denied:
        ways.socket("/deny")
    assert (denied.value.response.status_code, denied.value.response.body) == (403, b"not you")
    with pytest.raises(InvalidStatus) as unknown:
        ways.socket("/nowhere")
    assert unknown.value.response.status_code == 403


def test_starlette_sends_and_listens(ways):
    before = len(ways.marks("ticks"))
    with ways.socket("/ticks") as socket:
        assert [socket.recv() for _ in range(20)] == [str(n) for n in range(20)]
    ways.wait_marks("ticks", before + 1)


# Django.


def test_django_async_database(django):
    got = django.client.get("/note", params={"text": "one \u20ac"}).json()
    assert got == {"texts": ["one \u20ac"]}


def test_django_plain_view(django):
    assert django.client.get("/plain").json()["is there"] is True


def test_django_crosses_to_threads_and_back(django):
    assert django.client.get("/crossing").json() == {"main": True}


def test_django_view_is_cancelled(django):
    with django.connect() as client:
        client.send(raw("/waiting"))
        django.wait_marks("waiting")
    assert django.wait_marks("waiting", 2) == ["begin", "cancelled"]


def test_django_file(django):
    assert django.client.get("/file").content == PIECE
