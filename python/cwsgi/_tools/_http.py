"""Reads HTTP/1.1 answers, as far as a load generator needs it: where each ends."""


class Broken(Exception):
    """What came is no answer, or not all of one."""


class Answer:
    """One answer, fed as it comes.

    Attributes:
        begun: something of it has come.
        status: its status code, 0 until the head is there.
        closes: no request may follow on this connection.
    """

    def __init__(self, method: str) -> None:
        self.method = method
        self.begun = self.closes = False
        self.status = 0
        self._rest = b""
        self._left = -1  # bytes of the body or chunk; -1: not known
        self._kind = "head"

    def feed(self, data: bytes) -> bool:
        """Return whether it is complete."""
        self.begun = True
        if self._kind == "until end":
            return False
        self._rest += data
        while True:
            if self._kind == "head":
                if not self._head():
                    return False
            elif self._kind == "length":
                return self._skip()
            elif self._kind == "chunks":
                done = self._chunk()
                if done is not None:
                    return done
            else:
                return self._kind == "none"

    def end(self) -> bool:
        """The other side has closed. Returns True, or raises Broken."""
        if self._kind != "until end":
            raise Broken("the connection was closed before the answer was complete")
        return True

    def _head(self) -> bool:
        at = self._rest.find(b"\r\n\r\n")
        if at < 0:
            if len(self._rest) > 1 << 20:
                raise Broken("an answer's head does not end")
            return False
        lines = self._rest[:at].split(b"\r\n")
        self._rest = self._rest[at + 4 :]
        words = lines[0].split(b" ", 2)
        if not words[0].startswith(b"HTTP/1.") or len(words) < 2 or not words[1].isdigit():
            raise Broken("what came is no HTTP")
        status = int(words[1])
        if 100 <= status < 200:
            return True  # the answer follows
        self.status = status
        fields = {
            name.strip().lower(): value.strip().lower()
            for name, _, value in (line.partition(b":") for line in lines[1:])
        }
        self.closes = b"close" in fields.get(b"connection", b"") or words[0] == b"HTTP/1.0"
        self._kind = self._framing(fields)
        return True

    def _framing(self, fields: "dict[bytes, bytes]") -> str:
        """RFC 9112 6.3."""
        if self.method == "HEAD" or self.status in (204, 304):
            return "none"
        if b"transfer-encoding" in fields:
            return "chunks"
        length = fields.get(b"content-length")
        if length is None:
            self.closes = True
            return "until end"
        if not length.isdigit():
            raise Broken("a Content-Length that is no number")
        self._left = int(length)
        return "length"

    def _skip(self) -> bool:
        taken = min(self._left, len(self._rest))
        self._left -= taken
        self._rest = self._rest[taken:]
        return self._left == 0

    def _chunk(self) -> "bool | None":
        """Return whether it is complete, None where more may be read at once."""
        if self._left > 0:
            return None if self._skip() else False
        at = self._rest.find(b"\r\n")
        if at < 0:
            return False
        line, self._rest = self._rest[:at], self._rest[at + 2 :]
        if self._kind == "chunks" and self._left == -2:
            # Trailers, up to an empty line.
            return True if not line else None
        if not line:
            return None  # the end of the chunk before
        try:
            self._left = int(line.partition(b";")[0], 16) or -2
        except ValueError:
            raise Broken("a chunk's size is no number") from None
        return None
