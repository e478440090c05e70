"""A soak: good and hostile traffic side by side for a while, and every answer counted.

    make soak T=600

starts cwsgi with the app beside this file and runs clients of each kind below at once.
Good clients check each byte of their answers; hostile ones check that they are refused as
they should be. It ends with the counts: sent, answered right, refused right, lost (must be
0), and the worker's memory and descriptors before and after. Exit code 1 where something
was lost or memory grew.
"""

import argparse
import asyncio
import collections
import hashlib
import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
GROWTH = 4 << 20  # bytes of resident memory that count as noise


def find_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Counts(collections.Counter):
    """What happened, by kind: (kind, "sent" | "right" | "refused" | "lost")."""

    def __init__(self):
        super().__init__()
        self.examples = []

    def lost(self, kind, why):
        self[kind, "lost"] += 1
        if len(self.examples) < 10:
            self.examples.append(f"{kind}: {why}")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


async def read_answer(reader):
    """Reads one whole response. Raises EOFError or ValueError where it is not whole."""
    line = await reader.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError("closed before the status line")
    status, headers = int(line.split()[1]), {}
    while (line := await reader.readline()) != b"\r\n":
        if not line.endswith(b"\r\n"):
            raise EOFError("closed in the header section")
        name, value = line.decode("latin-1").split(":", 1)
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Answer(status, headers, body)


def head(method, path, *fields):
    lines = [f"{method} {path} HTTP/1.1", "Host: soak", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Soak:
    def __init__(self, port, seed):
        self.port, self.random = port, random.Random(seed)
        self.counts = Counts()
        self.end = 0.0

    async def connect(self):
        return await asyncio.open_connection("127.0.0.1", self.port)

    def going(self):
        return time.monotonic() < self.end

    # Good clients: each yields how many answers were right.

    async def get(self, reader, writer):
        writer.write(head("GET", "/hello?x=1"))
        answer = await read_answer(reader)
        return answer.status == 200 and answer.body == b"hello x=1"

    async def upload(self, reader, writer):
        body = self.random.randbytes(self.random.choice([0, 1, 5000, 65536, 65537, 300_000]))
        writer.write(head("POST", "/sha", f"Content-Length: {len(body)}") + body)
        await writer.drain()
        return (await read_answer(reader)).body == hashlib.sha256(body).hexdigest().encode()

    async def upload_chunked(self, reader, writer):
        pieces = [self.random.randbytes(self.random.randint(1, 9000)) for _ in range(9)]
        writer.write(head("POST", "/sha", "Transfer-Encoding: chunked"))
        for piece in pieces:
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        body = b"".join(pieces)
        return (await read_answer(reader)).body == hashlib.sha256(body).hexdigest().encode()

    async def stream(self, reader, writer):
        writer.write(head("GET", "/stream?20"))
        body = (await read_answer(reader)).body
        return body == b"".join(b"%08d" % i * 1000 for i in range(20))

    async def pipeline(self, reader, writer):
        writer.write(b"".join(head("GET", f"/hello?{i}") for i in range(10)))
        answers = [await read_answer(reader) for _ in range(10)]
        return [a.body for a in answers] == [b"hello %d" % i for i in range(10)]

    async def blocking(self, reader, writer):
        writer.write(head("GET", "/sleep"))
        return (await read_answer(reader)).body == b"slept"

    async def failing(self, reader, writer):
        writer.write(head("GET", "/fail"))
        return (await read_answer(reader)).status == 500

    async def expecting(self, reader, writer):
        writer.write(head("POST", "/sha", "Content-Length: 5", "Expect: 100-continue"))
        if (await reader.readuntil(b"\r\n\r\n")).split()[1] != b"100":
            return False
        writer.write(b"hello")
        return (await read_answer(reader)).body == hashlib.sha256(b"hello").hexdigest().encode()

    GOOD = (get, get, get, upload, upload_chunked, stream, pipeline, blocking, failing, expecting)

    async def good_client(self):
        """Keeps a connection for a random number of exchanges, then takes another."""
        while self.going():
            reader, writer = await self.connect()
            try:
                for _ in range(self.random.randint(1, 30)):
                    exchange = self.random.choice(self.GOOD)
                    kind = exchange.__name__
                    self.counts[kind, "sent"] += 1
                    try:
                        right = await asyncio.wait_for(exchange(self, reader, writer), 60)
                    except (OSError, EOFError, ValueError, TimeoutError) as error:
                        self.counts.lost(kind, repr(error))
                        break
                    if right:
                        self.counts[kind, "right"] += 1
                    else:
                        self.counts.lost(kind, "wrong answer")
            finally:
                writer.close()

    # Hostile clients.

    REFUSED = (
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431),
        (b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    )

    async def refused(self):
        data, status = self.random.choice(self.REFUSED)
        self.counts["refused", "sent"] += 1
        reader, writer = await self.connect()
        # A request behind a refused one must never be run.
        writer.write(data + (head("GET", "/hello?behind") if data.endswith(b"\n") else b""))
        answer = await asyncio.wait_for(read_answer(reader), 60)
        rest = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        if answer.status == status and rest == b"":
            self.counts["refused", "refused"] += 1
        else:
            self.counts.lost("refused", f"{answer.status} {rest!r} for {data[:40]!r}")

    async def leave(self):
        """Goes away in the middle, with a reset."""
        starts = (
            b"GET / HT",
            head("GET", "/stream?400"),
            head("POST", "/sha", "Content-Length: 99999"),
        )
        self.counts["leave", "sent"] += 1
        _, writer = await self.connect()
        writer.write(self.random.choice(starts))
        await writer.drain()
        await asyncio.sleep(self.random.random() / 10)
        writer.transport.abort()

    async def trickle(self):
        """Sends a header section byte by byte, and reads its answer as slowly."""
        self.counts["trickle", "sent"] += 1
        reader, writer = await self.connect()
        for byte in head("GET", "/hello?slow"):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)
        answer = await asyncio.wait_for(read_answer(reader), 60)
        writer.close()
        if answer.body == b"hello slow":
            self.counts["trickle", "right"] += 1
        else:
            self.counts.lost("trickle", "wrong answer")

    async def silence(self):
        """Connects and says nothing for a while."""
        self.counts["silence", "sent"] += 1
        _, writer = await self.connect()
        await asyncio.sleep(self.random.random() * 3)
        writer.close()

    async def noise(self):
        """Random bytes: whatever comes back, it must be an HTTP response or nothing."""
        self.counts["noise", "sent"] += 1
        reader, writer = await self.connect()
        writer.write(self.random.randbytes(self.random.randint(1, 300)) + b"\r\n\r\n")
        writer.write_eof()
        got = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        if got == b"" or got.startswith(b"HTTP/1.1 "):
            self.counts["noise", "refused"] += 1
        else:
            self.counts.lost("noise", repr(got[:40]))

    async def hostile_client(self):
        while self.going():
            act = self.random.choice(
                (self.refused, self.leave, self.trickle, self.silence, self.noise)
            )
            try:
                await act()
            except ConnectionError:
                pass  # noise and leavers may be reset; what matters is counted above
            except (OSError, EOFError, ValueError, TimeoutError) as error:
                self.counts.lost(act.__name__, repr(error))

    async def run(self, seconds, good, hostile):
        self.end = time.monotonic() + seconds
        await asyncio.gather(
            *(self.good_client() for _ in range(good)),
            *(self.hostile_client() for _ in range(hostile)),
        )


def worker_of(pid):
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def measure(pid):
    """Resident bytes and open descriptors."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE"), len(os.listdir(f"/proc/{pid}/fd"))


def settle(pid, descriptors):
    """Waits until the connections are gone, or a while has passed."""
    deadline = time.monotonic() + 15
    while measure(pid)[1] > descriptors and time.monotonic() < deadline:
        time.sleep(0.1)
    return measure(pid)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--good", type=int, default=24, help="good clients at once")
    parser.add_argument("--hostile", type=int, default=24, help="hostile clients at once")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    port = find_port()
    program = Path(sys.executable).with_name("cwsgi")
    server = subprocess.Popen(
        [program, "-b", f"127.0.0.1:{port}", "-w", "1", "--chdir", HERE, "soak_app:app"],
        stderr=subprocess.PIPE,
        text=True,
    )
    while "Listening at" not in (line := server.stderr.readline()):
        if not line:
            return 1
    # The app's tracebacks of /fail are expected, and there are many.
    errors = subprocess.Popen(["tail", "-c", "2000"], stdin=server.stderr, stdout=subprocess.PIPE)
    server.stderr.close()
    worker = worker_of(server.pid)
    soak = Soak(port, options.seed)
    # Pools, caches and the allocator's arenas take a while to reach their size.
    asyncio.run(soak.run(min(60, options.seconds), options.good, options.hostile))
    soak.counts = Counts()
    _, idle = measure(worker)
    before = settle(worker, idle)
    asyncio.run(soak.run(options.seconds, options.good, options.hostile))
    after = settle(worker, before[1])
    same = worker_of(server.pid) == worker
    server.terminate()
    status = server.wait(40)
    errors.wait(10)
    return report(soak.counts, before, after, same, status)


def report(counts, before, after, same, status):
    kinds = sorted({kind for kind, _ in counts})
    print(f"{'kind':16}{'sent':>10}{'right':>10}{'refused':>10}{'lost':>8}")
    for kind in kinds:
        row = [counts[kind, what] for what in ("sent", "right", "refused", "lost")]
        print(f"{kind:16}{row[0]:>10}{row[1]:>10}{row[2]:>10}{row[3]:>8}")
    total = [sum(counts[k, what] for k in kinds) for what in ("sent", "right", "refused", "lost")]
    print(f"{'total':16}{total[0]:>10}{total[1]:>10}{total[2]:>10}{total[3]:>8}")
    print(f"worker RSS {before[0] >> 10} KiB before, {after[0] >> 10} KiB after")
    print(f"worker descriptors {before[1]} before, {after[1]} after")
    print(f"same worker throughout: {same}; exit code {status}")
    for example in counts.examples:
        print("lost:", example)
    good = total[3] == 0 and same and status == 0
    return 0 if good and after[0] - before[0] < GROWTH and after[1] <= before[1] else 1


if __name__ == "__main__":
    sys.exit(main())
