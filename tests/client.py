"""A raw HTTP/1.x client: the test writes the bytes, http.client reads the answers."""

import http.client
import json
import os
import re
import select
import socket
import time

# Sanitizer builds and loaded machines are slower: every time limit is multiplied by this.
SLOW = float(os.environ.get("CWSGI_TEST_SLOW", "1"))

STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-5][0-9][0-9] [\t\x20-\x7e\x80-\xff]*")
FIELD_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ \t]*[\t\x20-\x7e\x80-\xff]*")


def wait_for(condition, what, timeout=10.0, step=0.005):
    """Polls until `condition()` is true and returns its value. `what` may be a function."""
    deadline = time.monotonic() + timeout * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"timed out waiting for {what() if callable(what) else what}")
        time.sleep(step)


def wait_until_steady(value_of, what, window=0.3, timeout=30.0):
    """Polls until `value_of()` has not changed for `window` seconds and returns it."""
    seen = [value_of(), time.monotonic()]

    def steady():
        now = value_of()
        if now != seen[0]:
            seen[:] = now, time.monotonic()
        return time.monotonic() - seen[1] > window * SLOW

    wait_for(steady, what, timeout, step=0.02)
    return seen[0]


def check_head(head):
    """Asserts what holds for the head of every response, whatever the request was."""
    lines = head.split(b"\r\n")
    assert lines[-2:] == [b"", b""], head
    assert STATUS_LINE.fullmatch(lines[0]), lines[0]
    names = []
    for line in lines[1:-2]:
        assert FIELD_LINE.fullmatch(line), line
        names.append(line.split(b":")[0].lower())
    for once in (b"date", b"server", b"content-length", b"transfer-encoding"):
        assert names.count(once) <= 1, head
    assert not (b"content-length" in names and b"transfer-encoding" in names), head
    if b"transfer-encoding" in names:
        assert not lines[0].startswith(b"HTTP/1.0"), head


class Response:
    def __init__(self, raw, body, head):
        self.status, self.reason, self.version = raw.status, raw.reason, raw.version
        self.fields = raw.getheaders()
        self.body = body
        self.head = head

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.fields} {self.body[:200]!r}>"

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def header(self, name):
        """The value of a header that may stand once, or None."""
        values = self.all(name)
        assert len(values) <= 1, values
        return values[0] if values else None

    @property
    def closes(self):
        tokens = (self.header("Connection") or "").lower()
        return "close" in tokens if self.version == 11 else "keep-alive" not in tokens

    def json(self):
        return json.loads(self.body)


class _Unclosed:
    """What HTTPResponse reads from; its close() must not end the connection."""

    def __init__(self, client):
        self.read, self.readline, self.readinto = client.read, client.readline, client.readinto

    def close(self):
        pass

    flush = close


class Client:
    """One connection. Reading waits at most `timeout` seconds for the next byte."""

    def __init__(self, sock, timeout=20.0):
        sock.settimeout(timeout * SLOW)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.buf = bytearray()
        self.eof = False

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Ends the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def finish_sending(self):
        self.sock.shutdown(socket.SHUT_WR)

    def _fill(self):
        if not self.eof:
            try:
                data = self.sock.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            self.eof = not data
            self.buf += data
        return not self.eof

    def _take(self, size):
        data = bytes(self.buf[:size])
        del self.buf[:size]
        return data

    def read(self, size=-1):
        """Exactly `size` bytes, fewer only at the end of the connection."""
        if size is None or size < 0:
            while self._fill():
                pass
            return self._take(len(self.buf))
        while len(self.buf) < size and self._fill():
            pass
        return self._take(size)

    def readinto(self, view):
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def readline(self, limit=-1):
        while b"\n" not in self.buf and self._fill():
            pass
        end = self.buf.find(b"\n") + 1 or len(self.buf)
        return self._take(end if limit is None or limit < 0 else min(end, limit))

    def read_until(self, mark):
        """Everything up to and with `mark`; it must come."""
        while mark not in self.buf:
            assert self._fill(), f"connection ended before {mark!r}: {bytes(self.buf)!r}"
        return self._take(self.buf.find(mark) + len(mark))

    def head(self):
        """The bytes of one response head, interim ones too."""
        head = self.read_until(b"\r\n\r\n")
        check_head(head)
        return head

    def response(self, method="GET"):
        """One final response. Interim ones before it are left out."""
        while True:
            head = self.head()
            if not head.startswith((b"HTTP/1.1 1", b"HTTP/1.0 1")):
                break
        self.buf[:0] = head
        raw = http.client.HTTPResponse(self, method=method)
        raw.begin()
        return Response(raw, raw.read(), head)

    def makefile(self, mode):
        return _Unclosed(self)

    def ask(self, path, method="GET", headers=(), body=None):
        """Sends one request on this connection and returns its response."""
        self.send(request(path, method, headers, body))
        return self.response(method)

    def quiet(self, seconds=0):
        """True if nothing has arrived that was not read yet, nor does within the time."""
        return not self.buf and not select.select([self.sock], [], [], seconds)[0]

    def at_end(self):
        """Waits for the end of the connection; true if no byte came before it."""
        try:
            self._fill()
        except TimeoutError:
            return False
        return self.eof and not self.buf


def request(path, method="GET", headers=(), body=None, version="1.1"):
    """The bytes of a request. A list as body is sent chunked."""
    fields = [("Host", "test")] if not any(k.lower() == "host" for k, _ in headers) else []
    fields += headers
    payload = b""
    if isinstance(body, (bytes, bytearray)):
        fields.append(("Content-Length", str(len(body))))
        payload = body
    elif body is not None:
        fields.append(("Transfer-Encoding", "chunked"))
        payload = chunked(body)
    head = f"{method} {path} HTTP/{version}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields)
    return head.encode("latin-1") + b"\r\n" + payload


def chunked(pieces):
    """Chunked coding of the given pieces, with the last chunk."""
    data = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    return data + b"0\r\n\r\n"
