"""Chromium as the client: EventSource, WebSocket, fetch. make browser installs it."""

import hashlib
import json
import signal

import pytest

pytest.importorskip("websockets")
from browser import Browser
from client import wait_for

pytestmark = pytest.mark.timeout(180)

# Functions for the pages' scripts: a socket that is open, what it receives, how it ended.
SOCKETS = """
const open = (path, protocols) => new Promise((resolve) => {
  const socket = new WebSocket(`ws://${location.host}${path}`, protocols || []);
  socket.binaryType = 'arraybuffer';
  socket.got = []; socket.waiting = [];
  socket.onmessage = (event) => {
    const next = socket.waiting.shift();
    next ? next(event.data) : socket.got.push(event.data);
  };
  socket.next = () => socket.got.length
    ? Promise.resolve(socket.got.shift())
    : new Promise((resolve) => socket.waiting.push(resolve));
  socket.ended = new Promise((resolve) => {
    socket.onclose = ({code, reason, wasClean}) => {
      resolve({code, reason, wasClean}); opened();
    };
  });
  const opened = () => resolve(socket);
  socket.onopen = opened;
});
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture(scope="module", params=["on", "context"])
def server(serve_all, browser, request):
    """Both ways of compression: a browser always offers it."""
    options = ["--ws-per-message-deflate", request.param, "--log-level", "debug"]
    server = serve_all("asgi_browser:app", *options)
    # A browser keeps connections for others of its pages to come.
    server.check_connections = False
    return server


@pytest.fixture
def page(server, browser):
    with browser.page(server.url("/page")) as page:
        yield page


def test_events_come_again_where_they_ended(server, page):
    """The browser reconnects by itself, and says which event was the last."""
    before = len(server.marks("events"))
    got = page.run("""
      const source = new EventSource('/events');
      const got = [];
      await new Promise((resolve) => source.addEventListener('tick', (event) => {
        got.push([event.lastEventId, event.data]);
        if (got.length === 7) resolve();
      }));
      source.close();
      return got;
    """)
    assert got == [[str(n), f"{n}\n\u20ac"] for n in range(1, 8)]
    assert server.marks("events")[before : before + 3] == ["0", "3", "6"]


@pytest.mark.parametrize("how", ["source.close()", "page is left", "tab is closed"])
def test_events_are_left(server, browser, how):
    before = len(server.marks("forever"))
    with browser.page(server.url("/page")) as page:
        first = page.run("""
          window.source = new EventSource('/forever');
          return new Promise((resolve) => { source.onmessage = (event) => resolve(event.data); });
        """)
        assert first == "first"
        assert len(server.marks("forever")) == before + 1
        if how == "source.close()":
            page.run("source.close();")
        elif how == "page is left":
            page.go("about:blank")
        if how != "tab is closed":
            server.wait_marks("forever", before + 2)
    server.wait_marks("forever", before + 2)


def test_no_content_ends_the_events(server, page):
    before = len(server.marks("no-more"))
    state = page.run("""
      const source = new EventSource('/no-more');
      await new Promise((resolve) => { source.onerror = resolve; });
      return source.readyState;
    """)
    assert state == 2  # closed, not connecting
    assert len(server.marks("no-more")) == before + 1


def test_socket_echo(page):
    got = page.run(
        SOCKETS
        + """
      const socket = await open('/');
      const texts = ['', 'short', 'caf\\u00e9 \\u20ac \\u{1f600}', 'long '.repeat(200000)];
      const same = [];
      for (const text of texts) {
        socket.send(text);
        same.push(await socket.next() === text);
      }
      for (const size of [0, 1, 63, 64, 65536, 3000000]) {
        const bytes = new Uint8Array(size).map((_, i) => i * i % 251);
        socket.send(bytes);
        const back = new Uint8Array(await socket.next());
        same.push(back.length === size && back.every((byte, i) => byte === bytes[i]));
      }
      socket.send(new Blob(['from a blob']));
      same.push(new TextDecoder().decode(await socket.next()) === 'from a blob');
      const extensions = socket.extensions;
      socket.close(4321, 'enough \\u20ac');
      return {same, extensions, end: await socket.ended};
    """
    )
    assert got["same"] == [True] * 11
    assert got["extensions"].startswith("permessage-deflate")
    assert got["end"] == {"code": 4321, "reason": "", "wasClean": True}


def test_socket_many_messages(page):
    """In both directions at once, small and large, compressed and not."""
    got = page.run(
        SOCKETS
        + """
      const socket = await open('/');
      const text = (i) => `message ${i} `.repeat(i % 40);
      for (let i = 0; i < 3000; i++) socket.send(text(i));
      let right = 0;
      for (let i = 0; i < 3000; i++) right += await socket.next() === text(i);
      socket.close();
      return [right, await socket.ended];
    """
    )
    assert got == [3000, {"code": 1005, "reason": "", "wasClean": True}]


def test_the_browser_offers_compression(page):
    offered = page.run(SOCKETS + "return (await open('/extensions')).next();")
    assert offered.startswith("permessage-deflate")


def test_subprotocols(page):
    chosen = page.run(SOCKETS + "return (await open('/accept?two', ['one', 'two'])).protocol;")
    assert chosen == "two"


@pytest.mark.parametrize(
    ("path", "end"),
    [
        ("/close", {"code": 4001, "reason": "bye \u20ac", "wasClean": True}),
        ("/return", {"code": 1000, "reason": "", "wasClean": True}),
        ("/raise", {"code": 1011, "reason": "", "wasClean": True}),
        ("/refuse", {"code": 1006, "reason": "", "wasClean": False}),
        ("/deny", {"code": 1006, "reason": "", "wasClean": False}),
    ],
)
def test_how_sockets_end(page, path, end):
    assert page.run(SOCKETS + f"return (await open('{path}')).ended;") == end


def test_socket_of_a_page_that_is_left(server, page):
    page.run(SOCKETS + "window.kept = await open('/?kept');")
    page.go("about:blank")
    left = json.loads(server.wait_marks("disconnect-kept")[0])
    assert left["code"] in (1001, 1005, 1006)


def test_many_sockets(page):
    got = page.run(
        SOCKETS
        + """
      const sockets = await Promise.all(Array.from({length: 10}, () => open('/')));
      sockets.forEach((socket, i) => socket.send(`n${i}`));
      const got = await Promise.all(sockets.map((socket) => socket.next()));
      sockets.forEach((socket) => socket.close(1000));
      const ends = await Promise.all(sockets.map((socket) => socket.ended));
      return [got, ends.filter((end) => end.wasClean).length];
    """
    )
    assert got == [[f"n{i}" for i in range(10)], 10]


def test_a_stream_is_read_as_it_comes(page):
    got = page.run("""
      const reader = (await fetch('/stream')).body.getReader();
      const got = [];
      for (let number = 0; number < 3; number++) {
        got.push(new TextDecoder().decode((await reader.read()).value));
        await fetch(`/turn?${number}`);
      }
      return [...got, (await reader.read()).done];
    """)
    assert got == ["0", "1", "2", True]


def test_uploads(page):
    got = page.run("""
      const bytes = new Uint8Array(10000000).map((_, i) => i % 256);
      const plain = await (await fetch('/digest', {method: 'POST', body: bytes})).json();
      const form = new FormData();
      form.append('name', 'caf\\u00e9');
      form.append('file', new Blob([bytes]), 'f.bin');
      const sent = await (await fetch('/digest', {method: 'POST', body: form})).json();
      return [plain, sent];
    """)
    whole = bytes(i % 256 for i in range(10_000_000))
    assert got[0]["sha256"] == hashlib.sha256(whole).hexdigest()
    assert got[1]["type"].startswith("multipart/form-data; boundary=")
    assert got[1]["size"] > len(whole)


def test_the_server_stops(serve, browser):
    server = serve("asgi_browser:app")
    server.check_connections = False
    with browser.page(server.url("/page")) as page:
        page.run(
            SOCKETS
            + """
          window.source = new EventSource('/forever');
          await new Promise((resolve) => { source.onmessage = resolve; });
          source.onerror = () => source.close();
          const socket = await open('/');
          window.ended = socket.ended;
        """
        )
        server.send_signal(signal.SIGTERM)
        end = page.run("return ended;")
        assert end == {"code": 1012, "reason": "", "wasClean": True}
        page.run("source.close();")
        assert server.wait_exit() == 0
    wait_for(lambda: "end" in server.marks("forever"), "the end of the events")
