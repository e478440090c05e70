"""aiohttp as a client: streams, uploads, many connections, WebSockets with compression."""

import asyncio
import hashlib
import re
import signal

import pytest
from client import SLOW, wait_for
from server import UnixPath, descriptors

aiohttp = pytest.importorskip("aiohttp")
pytest.importorskip("starlette")

PIECE = bytes(range(256)) * 4096
TEXT = "caf\xe9 \u20ac \U0001f600 " * 5000


@pytest.fixture(scope="module")
def server(serve_all, loop):
    return serve_all("asgi_starlette:app", "--loop", loop, "--log-level", "debug")


@pytest.fixture(scope="module")
def raw(serve_all, loop):
    return serve_all("asgiapp:app", "--loop", loop, "--log-level", "debug")


@pytest.fixture(scope="module", params=["on", "context", "off"])
def sockets(serve_all, request):
    options = ["--ws-per-message-deflate", request.param, "--log-level", "debug"]
    return serve_all("asgisocket:app", *options), request.param


def with_session(server, work, **options):
    """Runs `work(session)` with a client for this server, and returns its result."""

    async def run():
        timeout = aiohttp.ClientTimeout(total=40 * SLOW)
        async with aiohttp.ClientSession(server.url(), timeout=timeout, **options) as session:
            return await work(session)

    return asyncio.run(run())


async def pieces(count):
    for _ in range(count):
        yield PIECE
        await asyncio.sleep(0)


def digest_of(count):
    return {"size": len(PIECE) * count, "sha256": hashlib.sha256(PIECE * count).hexdigest()}


def test_a_stream_comes_as_it_is_sent(raw):
    async def work(session):
        async with session.get("/drip") as response:
            assert response.headers["Transfer-Encoding"] == "chunked"
            got = [await response.content.readline()]
            for number in range(3):
                raw.open_gate(f"drip{number}")
                got.append(await response.content.readline())
            return got

    assert with_session(raw, work) == [b"0\n", b"1\n", b"2\n", b""]


def test_a_stream_is_left(server):
    before = len(server.marks("events"))

    async def work(session):
        response = await session.get("/endless")
        assert await response.content.readuntil(b"\n\n") == b"id: 0\ndata: tick\n\n"
        response.close()

    with_session(server, work)

    def ended():
        server.get("/collect")
        return len(server.marks("events")) == before + 2

    wait_for(ended, "the generator to end", step=0.05)


def test_a_task_that_is_cancelled_leaves(raw):
    """What asyncio cancels ends its connection, and the app hears of it."""
    before = len(raw.marks("left"))

    async def work(session):
        task = asyncio.create_task(session.get("/leaving"))
        await asyncio.to_thread(raw.wait_marks, "waits", before + 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with_session(raw, work)
    assert raw.wait_marks("left", before + 1)[-1] == "http.disconnect"


@pytest.mark.parametrize("options", [{}, {"expect100": True}, {"headers": {"X-A": "b"}}])
def test_an_upload_in_chunks(server, options):
    async def work(session):
        async with session.post("/digest", data=pieces(8), **options) as response:
            return await response.json()

    assert with_session(server, work) == digest_of(8)


def test_an_upload_that_is_compressed_arrives_as_it_is(server):
    async def work(session):
        async with session.post("/digest", data=PIECE, compress="gzip") as response:
            return await response.json()

    assert 0 < with_session(server, work)["size"] < len(PIECE) // 10


def test_a_form_with_a_file(server):
    async def work(session):
        form = aiohttp.FormData()
        form.add_field("a", "1 \u20ac")
        form.add_field("file", b"inside", filename="n\xe4me.txt")
        async with session.post("/form", data=form) as response:
            return await response.json()

    assert with_session(server, work) == {"a": "1 \u20ac", "file": "inside"}


def test_both_ways_at_once(raw):
    """An echo whose request is still being sent when its response begins."""

    async def work(session):
        async with session.post("/echo", data=pieces(4)) as response:
            return await response.read()

    assert with_session(raw, work) == PIECE * 4


def test_many_requests_on_few_connections(raw):
    worker = raw.worker().pid
    before = len(descriptors(worker))

    async def work(session):
        async def ask(number):
            async with session.get("/large", params=str(number * 100)) as response:
                return len(await response.read())

        sizes = await asyncio.gather(*(ask(number) for number in range(300)))
        return sizes, len(descriptors(worker))

    async def run():
        connector = aiohttp.TCPConnector(limit=10)
        async with aiohttp.ClientSession(raw.url(), connector=connector) as session:
            return await work(session)

    sizes, during = asyncio.run(run())
    assert sizes == [number * 100 for number in range(300)]
    assert during <= before + 10


def test_heads_before_the_response(raw):
    async def work(session):
        async with session.get("/hint") as response:
            return response.status, await response.text()

    assert with_session(raw, work) == (200, "hinted\n")


def test_head_and_empty_responses(server):
    (server.state / "served.bin").write_bytes(PIECE)

    async def work(session):
        async with session.head("/file") as head:
            got = [head.headers["Content-Length"], await head.read()]
        async with session.get("/file", headers={"Range": "bytes=5-9"}) as part:
            return [*got, part.status, await part.read()]

    assert with_session(server, work) == [str(len(PIECE)), b"", 206, PIECE[5:10]]


def test_a_response_that_breaks_off(server):
    async def work(session):
        with pytest.raises(aiohttp.ClientPayloadError):
            async with session.get("/raises-in-stream") as response:
                await response.read()
        async with session.get("/count") as response:
            return await response.text()

    assert with_session(server, work) == "0\n1\n2\n"


def test_a_unix_socket(serve, tmp_path):
    path = UnixPath(tmp_path / "socket")
    server = serve("asgiapp:app", binds=[path])

    async def run():
        connector = aiohttp.UnixConnector(path.path)
        async with aiohttp.ClientSession("http://unix", connector=connector) as session:
            async with session.post("/echo", data=b"through a file") as response:
                return await response.read()

    assert asyncio.run(run()) == b"through a file"
    assert server.stop() == 0


# WebSockets.


@pytest.mark.parametrize("bits", [9, 12, 15])
def test_messages_with_compression(sockets, bits):
    """The client bounds the server's window; the server's answer says what holds for both."""
    server, how = sockets

    async def work(session):
        async with session.ws_connect("/", compress=bits, max_msg_size=0) as socket:
            for size in (0, 10, 100, len(TEXT)):
                await socket.send_str(TEXT[:size])
                assert await socket.receive_str() == TEXT[:size]
            for size in (0, 15, 16, 64, 3 * len(PIECE)):
                await socket.send_bytes((PIECE * 3)[:size])
                assert await socket.receive_bytes() == (PIECE * 3)[:size]
            return socket._response.headers.get("Sec-WebSocket-Extensions", "")

    agreed = with_session(server, work)
    assert agreed.startswith("permessage-deflate") == (how != "off")
    window = re.search(r"server_max_window_bits=(\d+)", agreed)
    assert (int(window[1]) if window else 15) <= bits or how == "off"


def test_many_messages_at_once(sockets):
    server, _ = sockets

    async def work(session):
        async with session.ws_connect("/", compress=15) as socket:

            async def send():
                for number in range(2000):
                    await socket.send_str(f"message {number} " * (number % 20))

            sender = asyncio.create_task(send())
            got = [await socket.receive_str() for _ in range(2000)]
            await sender
            return got

    assert with_session(server, work) == [f"message {n} " * (n % 20) for n in range(2000)]


def test_some_messages_without_compression(sockets):
    """Each message says for itself whether it is compressed; without agreement none may be."""
    server, how = sockets

    async def work(session):
        async with session.ws_connect("/", compress=15) as socket:
            for compress in (0, None, 9, 0):
                await socket.send_str("same " * 100, compress=compress)
                message = await socket.receive()
                if compress and how == "off":
                    return message.type, message.data
                assert message.data == "same " * 100
            return None

    broken = (aiohttp.WSMsgType.CLOSE, 1002) if how == "off" else None
    assert with_session(server, work) == broken


def test_a_heartbeat(sockets):
    server, _ = sockets

    async def work(session):
        async with session.ws_connect("/", heartbeat=0.1, autoping=False) as socket:
            message = await socket.receive()
            return message.type

    assert with_session(server, work) == aiohttp.WSMsgType.PONG


def test_subprotocol_fields_and_close(sockets):
    server, _ = sockets

    async def work(session):
        async with session.ws_connect("/accept?two", protocols=["one", "two"]) as socket:
            assert socket.protocol == "two"
            assert socket._response.headers["X-App"] == "socket"
        async with session.ws_connect("/close") as socket:
            message = await socket.receive()
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 4001)
            assert message.extra == "bye \u20ac"
        async with session.ws_connect("/?closes") as socket:
            await socket.close(code=4321, message=b"enough")

    with_session(server, work)
    assert '"code": 4321' in server.wait_marks("disconnect-closes")[0]


@pytest.mark.parametrize(("path", "status"), [("/refuse", 403), ("/deny", 401), ("/nothing", 500)])
def test_sockets_that_are_refused(sockets, path, status):
    server, _ = sockets

    async def work(session):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(path)
        return refused.value.status

    assert with_session(server, work) == status


def test_the_server_stops(serve):
    server = serve("asgisocket:app")

    async def work(session):
        async with session.ws_connect("/", compress=15) as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"
            server.send_signal(signal.SIGTERM)
            assert (await socket.receive()).type == aiohttp.WSMsgType.CLOSE
            return socket.close_code

    assert with_session(server, work) == 1012
    assert server.wait_exit() == 0
