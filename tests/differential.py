"""Compares what cwsgi runs with what h11 reads from the same bytes.

    tests/differential.py [--seconds N] [--seed N]

The inputs are the cases of tests/requests, mutated. cwsgi may refuse what h11 takes, never
the other way round: each request that it runs must be one that h11 reads there too, with
the same method, target, fields and body. Else the bytes are printed and the exit is 1.
"""

import argparse
import importlib
import json
import random
import re
import socket
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "requests")]

import h11  # noqa: E402
from server import Server  # noqa: E402

MOST_SHOWN = 10
SMALL = 4000  # larger cases are about limits, which h11 does not have
INSERTS = [b"\r", b"\n", b"\r\n", b" ", b"\t", b"\0", b":", b",", b";", b"0", b"\r\n\r\n"]
PIECES = [
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Host: b\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Expect: 100-continue\r\n",
    b"X-A: b\r\n",
    b"X_A: b\r\n",
    b"Cookie: a=b\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"\x85",
    b"\xa0",
    b"\x0b",
    b"\x7f",
]


def seeds():
    """The bytes of all tables; those that are accepted several times, being fewer."""
    found = []
    for path in sorted((HERE / "requests").glob("table_*.py")):
        for case in importlib.import_module(path.stem).CASES:
            if len(case.raw) <= SMALL:
                found += [case.raw] * (5 if 200 in case.answers[0] else 1)
    return sorted(found)


# ---- mutations: each takes the generator, the bytes and all seeds, and returns bytes ----


def place(rng, raw):
    return rng.randrange(len(raw) + 1)


def flip(rng, raw, others):
    at = rng.randrange(len(raw)) if raw else 0
    return raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :]


def bit(rng, raw, others):
    if not raw:
        return raw
    at = rng.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :]


def insert(rng, raw, others):
    at = place(rng, raw)
    return raw[:at] + rng.choice(INSERTS) + raw[at:]


def insert_piece(rng, raw, others):
    """A whole line as a rule, where lines begin."""
    starts = [0] + [i + 1 for i in range(len(raw)) if raw[i] == 10]
    at = rng.choice(starts) if rng.random() < 0.8 else place(rng, raw)
    return raw[:at] + rng.choice(PIECES) + raw[at:]


def remove(rng, raw, others):
    at = place(rng, raw)
    return raw[:at] + raw[at + rng.choice((1, 1, 1, 2, 2, 8)) :]


def lines(rng, raw, others):
    """One line doubled, left out, or put elsewhere."""
    parts = raw.split(b"\r\n")
    at = rng.randrange(len(parts))
    how = rng.randrange(3)
    if how == 0:
        parts.insert(rng.randrange(len(parts) + 1), parts[at])
    elif how == 1:
        del parts[at]
    else:
        parts.insert(rng.randrange(len(parts)), parts.pop(at))
    return b"\r\n".join(parts)


def case(rng, raw, others):
    at, length = place(rng, raw), rng.randrange(1, 20)
    return raw[:at] + raw[at : at + length].swapcase() + raw[at + length :]


def digits(rng, raw, others):
    """One digit becomes another, or two."""
    found = [i for i in range(len(raw)) if 48 <= raw[i] <= 57]
    if not found:
        return raw
    at = rng.choice(found)
    return raw[:at] + b"%d" % rng.choice((0, 1, 5, 9, 10, 16)) + raw[at + 1 :]


def join(rng, raw, others):
    return raw + rng.choice(others)


def splice(rng, raw, others):
    other = rng.choice(others)
    return raw[: place(rng, raw)] + other[place(rng, other) :]


def line_ends(rng, raw, others):
    """One CRLF becomes something like it."""
    found = [i for i in range(len(raw) - 1) if raw[i : i + 2] == b"\r\n"]
    if not found:
        return raw
    at = rng.choice(found)
    return raw[:at] + rng.choice((b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r\n ")) + raw[at + 2 :]


MUTATIONS = [
    flip,
    bit,
    insert,
    insert,
    insert_piece,
    insert_piece,
    remove,
    lines,
    lines,
    case,
    digits,
    join,
    join,
    splice,
    line_ends,
]


def mutate(rng, corpus):
    raw = rng.choice(corpus)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        raw = rng.choice(MUTATIONS)(rng, raw, corpus)
    return raw[: 4 * SMALL]


# ---- the two readers: each yields requests as (method, target, version, fields, body) ----
# A body that did not arrive whole is None, and then it is the last.


class Cwsgi:
    """A server and the notes of what its app was given."""

    def __init__(self, folder):
        self.server = Server(
            folder, "witness:app", "--forwarded-allow-ips", "", threads=2, chdir=HERE / "apps"
        )
        self.notes = open(self.server.state / "notes", "rb")
        self.sources = 0

    def read(self, raw, cuts):
        self.sources = (self.sources + 1) % 60_000
        sock = socket.socket()
        # Ports of one address alone would be used up by connections in TIME_WAIT.
        sock.bind((f"127.1.{self.sources // 250}.{self.sources % 250 + 1}", 0))
        sock.settimeout(10)
        answer = bytearray()
        with sock:
            sock.connect(("127.0.0.1", self.server.binds[0].number))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                start = 0
                for end in [*cuts, len(raw)]:
                    sock.sendall(raw[start:end])
                    start = end
                sock.shutdown(socket.SHUT_WR)
                while data := sock.recv(1 << 16):
                    answer += data
            except TimeoutError:
                raise AssertionError(
                    f"not answered to the end: {raw!r}, {cuts}, {answer!r}"
                ) from None
            except OSError:  # refused and ended while bytes were still sent
                pass
        return self.new_requests(), bytes(answer)

    def new_requests(self):
        """No request of the connection runs any more: it is closed."""
        found = {}
        for line in self.notes.read().splitlines():
            one = json.loads(line)
            found.setdefault(one["number"], {"body": None}).update(one)
        return [
            (r["method"], r["target"], r["version"], r["fields"], r["body"])
            for _, r in sorted(found.items())
        ]


def end_of_message(headers=()):
    """h11 refuses trailers that contradict the framing. RFC 9110 section 6.5.1 forbids to
    send these, and a server that throws trailers away, as cwsgi does, need not look."""
    framing = (b"content-length", b"transfer-encoding")
    return h11.EndOfMessage(headers=[(n, v) for n, v in headers if n.lower() not in framing])


h11._readers.EndOfMessage = end_of_message

# RFC 9112 section 7.1 sets no bound on zeros in front of a size, and 7.1.1 allows blanks in
# front of an extension. h11 knows neither.
h11._readers.chunk_header_re = re.compile(
    rb"(?P<chunk_size>0{0,127}[0-9A-Fa-f]{1,20})(?P<chunk_ext>[ \t]*;.*)?[ \t]*\r\n"
)


def fields_of(event):
    """As environ has them: underscore names dropped, lists joined, Latin-1."""
    fields = {}
    for name, value in event.headers.raw_items():
        name, value = name.decode("latin-1"), value.decode("latin-1")
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        separator = "; " if key == "HTTP_COOKIE" else ","
        fields[key] = fields[key] + separator + value if key in fields else value
    return fields


def read_one(raw):
    """h11's (request or None, the bytes behind it or None)."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 24)
    connection.receive_data(raw)
    request, body = None, bytearray()
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                # RFC 9110 section 2.5: a later minor version is served as the highest known.
                later = b"1.1" < event.http_version < b"2"
                version = "HTTP/" + ("1.1" if later else event.http_version.decode())
                target = event.target.decode("latin-1")
                request = (event.method.decode(), target, version, fields_of(event))
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                whole = (*request, body.decode("latin-1"))
                return whole, connection.trailing_data[0]
            else:
                return request and (*request, None), None
    except h11.RemoteProtocolError:
        return request and (*request, None), None


def stays_open(request):
    """RFC 9112 section 9.3. h11 itself ends every HTTP/1.0 connection."""
    words = request[3].get("HTTP_CONNECTION", "").split(",")
    options = [word.strip(" \t").lower() for word in words]
    if "close" in options:
        return False
    return request[2] == "HTTP/1.1" or "keep-alive" in options


def read_by_h11(raw):
    found = []
    while raw:
        # RFC 9112 section 2.2 has a server skip an empty line in front of a request, "at
        # least one"; h11 refuses it, cwsgi skips up to two.
        for _ in range(2):
            raw = raw.removeprefix(b"\r\n")
        request, raw = read_one(raw)
        if not request:
            break
        found.append(request)
        if raw is None or not stays_open(request):
            break
    return found


# ---- the comparison ----


def expected(request):
    """h11's request with the rewrites that cwsgi documents."""
    method, target, version, fields, body = request
    fields = dict(fields)
    # RFC 9112 section 3.2.2: the authority of an absolute target is the host.
    scheme, mark, rest = target.partition("://")
    if mark and scheme.lower() in ("http", "https") and "HTTP_HOST" in fields:
        fields["HTTP_HOST"] = rest.split("/")[0].split("?")[0]
    return method, target, version, fields, body


def same(ours, theirs):
    """Whether h11 read this request, too. Its Transfer-Encoding is in lower case."""
    *head, body = ours
    *other_head, other_body = expected(theirs)
    for fields in (head[3], other_head[3]):
        if "HTTP_TRANSFER_ENCODING" in fields:
            fields["HTTP_TRANSFER_ENCODING"] = fields["HTTP_TRANSFER_ENCODING"].lower()
    return head == other_head and (body is None or body == other_body)


def judge(ours, theirs):
    """ "same", "stricter", or what is wrong."""
    for i, request in enumerate(ours):
        if i >= len(theirs):
            return f"request {i} is run; h11 sees none"
        if not same(request, theirs[i]):
            return f"request {i} is another one to h11"
        if request[4] is None and i + 1 < len(ours):
            return f"request {i + 1} is run behind a broken body"
    whole = [r for r in theirs if r[4] is not None]
    return "same" if len([r for r in ours if r[4] is not None]) == len(whole) else "stricter"


def show(raw, verdict, ours, theirs, answer):
    print(f"DISAGREEMENT: {verdict}\n  bytes: {raw!r}", flush=True)
    for name, requests in (("cwsgi", ours), ("h11", theirs)):
        for request in requests:
            print(f"  {name}: {request}")
    print(f"  answer: {answer[:400]!r}", flush=True)


def check_answers(answer, ours):
    """Nothing but whole responses came back, and 200 for each request that was run."""
    if answer and not answer.startswith(b"HTTP/1.1 "):
        return "the answer is no response"
    done = len([r for r in ours if r[4] is not None])
    return None if answer.count(b"HTTP/1.1 200 OK\r\n") <= done else "more answers than requests"


def compare(cwsgi, rng, corpus, seconds):
    counts = dict.fromkeys(
        ("inputs", "requests", "accepted by both", "refused by both", "stricter", "disagreements"),
        0,
    )
    end = time.monotonic() + seconds
    while time.monotonic() < end and counts["disagreements"] < MOST_SHOWN:
        raw = mutate(rng, corpus)
        if not raw:
            continue
        cuts = []
        if rng.random() < 0.3 and len(raw) > 4:
            cuts = sorted(rng.sample(range(1, len(raw)), rng.randrange(1, 4)))
        ours, answer = cwsgi.read(raw, cuts)
        theirs = read_by_h11(raw)
        verdict = check_answers(answer, ours) or judge(ours, theirs)
        counts["inputs"] += 1
        counts["requests"] += len(ours)
        if verdict == "stricter":
            counts["stricter"] += 1
        elif verdict == "same":
            counts["accepted by both" if ours else "refused by both"] += 1
        else:
            counts["disagreements"] += 1
            show(raw, verdict, ours, theirs, answer)
    return counts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        cwsgi = Cwsgi(Path(folder) / "server")
        try:
            counts = compare(cwsgi, random.Random(options.seed), seeds(), options.seconds)
        finally:
            cwsgi.server.finish()
            cwsgi.notes.close()
    for name, count in counts.items():
        print(f"{name:>17}: {count:,}")
    return 1 if counts["disagreements"] else 0


if __name__ == "__main__":
    sys.exit(main())
