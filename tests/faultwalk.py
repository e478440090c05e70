"""Walks through the allocations of a request, each of which fails once."""

import http.client
import socket

from client import Client, request


class Replay:
    """Bytes in the place of a socket."""

    family = socket.AF_UNIX

    def __init__(self, data):
        self.data = data

    def settimeout(self, seconds):
        pass

    def recv(self, size):
        data, self.data = self.data[:size], self.data[size:]
        return data

    def close(self):
        pass


def whole(answer, raw):
    """Whether the bytes are complete responses. Asserts that no head is inside another body."""
    heads = answer.count(b"HTTP/1.1 ")
    left = Client(Replay(answer), 1)
    for _ in range(heads):
        try:
            left.response("HEAD" if raw.startswith(b"HEAD") else "GET")
        except (AssertionError, http.client.HTTPException):
            assert b"HTTP/1.1 " not in left.buf, answer[:2000]
            return False
    return not left.buf


def begin(server, raw, timeout=20.0):
    """Sends a request of the kind. The server may end the connection at any point."""
    sock = socket.socket()
    # Little room: a response waits for its reader in the server.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", server.binds[0].number))
    client = Client(sock, timeout)
    try:
        client.send(raw)
        client.finish_sending()
    except OSError:
        pass
    return client


def converse(server, raw, timeout=20.0):
    """The same, and takes what comes."""
    with begin(server, raw, timeout) as client:
        return client.read()


class Walk:
    """One failure after the other, with a connection beside it to control them.

    `path` is where the app is that has /arm and /state.
    """

    def __init__(self, server, path=""):
        self.server, self.path = server, path
        self.control = server.connect()

    def again(self):
        """The controlling connection may be a victim, too."""
        self.control.close()
        self.control = self.server.connect()

    def arm(self, n):
        assert self.control.ask(f"{self.path}/arm?n={n}").status == 200

    def state(self):
        """Ends the walk's step. The failure may hit this request: only this one, then."""
        for _ in range(3):
            try:
                self.control.send(request(f"{self.path}/state"))
                answer = self.control.response()
                if answer.status == 200:
                    return tuple(map(int, answer.body.split()))
            except (OSError, AssertionError, http.client.HTTPException):
                pass
            self.again()
        raise AssertionError("no ordinary answer after one failure")
