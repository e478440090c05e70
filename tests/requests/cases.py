"""How a case of the tables is written: exact bytes and what must come back."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """`answers` holds the allowed statuses of each response, in order.

    After them the connection is at its end (`closes`) or takes another request. `seen` is
    what the app must have got with the first request. `behind` is false where nothing may
    follow the bytes, since they leave the message incomplete.
    """

    name: str
    raw: bytes
    answers: tuple
    closes: bool
    seen: dict = field(default_factory=dict)
    behind: bool = True


def message(line, *fields, body=b"", host=b"Host: a"):
    """A message with CRLF line ends, `host` put first unless it is None."""
    lines = [line, *([host] if host is not None else []), *fields, b"", body]
    return b"\r\n".join(lines)


def get(*fields, target=b"/", host=b"Host: a", version=b"HTTP/1.1"):
    return message(b"GET " + target + b" " + version, *fields, host=host)


def post(*fields, body=b"", host=b"Host: a", version=b"HTTP/1.1"):
    return message(b"POST / " + version, *fields, body=body, host=host)


def chunks(body, *fields):
    """A chunked POST whose body is given byte by byte, framing included."""
    return post(b"Transfer-Encoding: chunked", *fields, body=body)


def ok(name, raw, **seen):
    """Answered by the app with 200; the connection goes on."""
    return Case(name, raw, ((200,),), False, seen)


def last(name, raw, **seen):
    """Answered by the app with 200, then the connection is closed."""
    return Case(name, raw, ((200,),), True, seen)


def refused(name, raw, *statuses, behind=True):
    """Answered without the app by one of these statuses, then closed."""
    return Case(name, raw, (statuses or (400,),), True, {}, behind)


def series(name, raw, *answers, closes=False, **seen):
    """Several responses, each a status or a tuple of allowed ones."""
    allowed = tuple(a if isinstance(a, tuple) else (a,) for a in answers)
    return Case(name, raw, allowed, closes, seen)
