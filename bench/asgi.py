"""Measures cwsgi's ASGI side beside its peers, all in one run, as bench/run.py does.

bench/asgi.py                          every table
bench/asgi.py --tables raw,echo --servers cwsgi,uvicorn --rounds 5 --json out.json
bench/asgi.py --python python3.13      the CPython of all of them (default: 3.13, if found)

raw        a raw app, 64 keep-alive connections
fastapi    FastAPI: plain text, JSON, a body that pydantic checks; 64 connections
starlette  Starlette, plain text
echo       WebSocket echo: 1,000 sockets with 32 bytes, 16 with 64 KiB, one message each
           under way; server CPU per message
idle       memory of 10,000 WebSockets that say nothing; for cwsgi also what of it is in C,
           by valgrind's massif
"""

import argparse
import base64
import contextlib
import json
import os
import re
import resource
import select
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from measure import (
    BENCH,
    BUILD,
    CORES,
    ROOT,
    Server,
    add_ratios,
    in_turn,
    interleaved,
    medians,
    table,
)

VENV = ROOT / "build" / "bench-asgi-venv"
TABLES = ("raw", "fastapi", "starlette", "echo", "idle")
APPS = {"raw": "app", "fastapi": "fast", "starlette": "star"}


# ---- servers -------------------------------------------------------------------------------


def install(python):
    """Sets up the environment of all servers, cwsgi's too: one CPython for all."""
    stamp = VENV / ".installed"
    wanted = (BENCH / "requirements-asgi.txt").read_text() + python
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "-q"]
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([python, "-m", "venv", "--clear", str(VENV)], check=True)
        subprocess.run([*pip, "setuptools", "wheel"], check=True)
        for line in wanted.splitlines():
            if line and not line.startswith(("#", "/")):
                if subprocess.run([*pip, line], stdout=subprocess.DEVNULL).returncode:
                    print(f"{line} does not install here and is left out")
        stamp.write_text(wanted)
    build = ["--force-reinstall", "--no-deps", "--no-build-isolation", str(ROOT)]
    subprocess.run([*pip, *build], check=True, stdout=subprocess.DEVNULL)


def commands(cwsgi):
    def script(name, *arguments):
        return lambda app, port: [
            str(VENV / "bin" / name),
            *(word.format(app=app, port=port) for word in arguments),
        ]

    def inline(code):
        python = str(VENV / "bin" / "python")
        return lambda app, port: [python, "-c", code.format(app=app, port=port)]

    named = "asgi_main:{app}"
    return {
        "cwsgi": lambda app, port: [
            *cwsgi, "-w", "1", "-b", f"127.0.0.1:{port}", named.format(app=app)
        ],
        "uvicorn": script(
            "uvicorn", "--port", "{port}", "--no-access-log", "--log-level", "warning", named
        ),
        "granian": script(
            "granian", "--interface", "asgi", "--port", "{port}", "--workers", "1",
            "--log-level", "warning", named,
        ),
        "hypercorn": script("hypercorn", "-b", "127.0.0.1:{port}", "-w", "0", named),
        "peregrine": script("peregrine", "--protocol", "asgi", "--port", "{port}", named),
        "weft": script(
            "weft", "--protocol", "asgi", "--port", "{port}", "--app-dir", str(BENCH), named
        ),
        "freastal": inline(
            "import freastal, asgi_main;"
            " freastal.serve_asgi(asgi_main.{app}, host='127.0.0.1', port={port})"
        ),
        "fastpysgi": script(
            "fastpysgi", "--host", "127.0.0.1", "-p", "{port}", "-l", "0", named
        ),
        "saltare": script("saltare", "--host", "127.0.0.1", "--port", "{port}", named),
        "h2corn": script("h2corn", "--bind", "127.0.0.1:{port}", named),
    }  # fmt: skip


def answers(name, command, app):
    """Whether it serves this app at all; what does not is named and left out."""
    try:
        with Server(name, command, app) as server:
            server.wait(20)
    except (RuntimeError, OSError) as error:
        print(f"{name} does not serve {app} and is left out: {str(error).splitlines()[0]}")
        return False
    return True


# ---- HTTP ----------------------------------------------------------------------------------

COLUMNS = [
    ("requests/s", "rps", ",.0f"),
    ("CPU us", "cpu_us", ".1f"),
    ("x cwsgi", "ratio", ".2f"),
    ("p50 ms", "p50_ms", ".2f"),
    ("p99 ms", "p99_ms", ".2f"),
    ("spread %", "spread", ".0f"),
]


def http(options, name, path="/", script=None):
    app = APPS[name]
    servers = dict(options.servers)
    options.servers = {
        each: command for each, command in servers.items() if answers(each, command, app)
    }
    results = interleaved(options, app, 64, path=path, script=script)
    options.servers = servers
    add_ratios(results, "cpu_us", "ratio")
    table(f"{name} {path}: server CPU per request, 64 connections", results, COLUMNS)
    return results


# ---- WebSockets ----------------------------------------------------------------------------


def open_socket(port):
    key = base64.b64encode(os.urandom(16)).decode()
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    sock.sendall(
        f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        piece = sock.recv(4096)
        if not piece:
            raise RuntimeError("the handshake was not answered")
        head += piece
    if not head.startswith(b"HTTP/1.1 101"):
        raise RuntimeError(head.split(b"\r\n")[0].decode())
    return sock


def frame(size):
    """A masked binary message, and the length of its echo."""
    length = (
        bytes([0x80 | size])
        if size < 126
        else bytes([0x80 | 126]) + size.to_bytes(2, "big")
        if size < 65536
        else bytes([0x80 | 127]) + size.to_bytes(8, "big")
    )
    mask, payload = b"\x11\x22\x33\x44", b"x" * size
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return b"\x82" + length + mask + masked, 1 + len(length) + size


def echo_round(server, number, size, seconds):
    """Keeps one message of each socket under way: messages/s, server CPU µs per message."""
    message, expected = frame(size)
    sockets = [open_socket(server.port) for _ in range(number)]
    poll = select.epoll()
    missing, buffer = {}, bytearray(1 << 18)
    by_fd = {sock.fileno(): sock for sock in sockets}
    for fd, sock in by_fd.items():
        poll.register(fd, select.EPOLLIN)
        sock.sendall(message)
        missing[fd] = expected
    done, before, began = 0, server.cpu(), time.perf_counter()
    while time.perf_counter() - began < seconds:
        for fd, _ in poll.poll(5):
            sock = by_fd[fd]
            got = sock.recv_into(buffer)
            if got == 0:
                raise RuntimeError(f"{server.name} closed a socket")
            missing[fd] -= got
            if missing[fd] == 0:
                done += 1
                missing[fd] = expected
                sock.sendall(message)
    took, cpu = time.perf_counter() - began, server.cpu() - before
    for sock in sockets:
        sock.close()
    return {"rps": done / took, "cpu_us": cpu / max(done, 1) * 1e6}


def with_websockets(options):
    found = {}
    for name, command in options.servers.items():
        try:
            with Server(name, command, "app") as server:
                server.wait(20)
                open_socket(server.port).close()
        except (RuntimeError, OSError) as error:
            print(f"{name} serves no WebSockets and is left out: {str(error).splitlines()[0]}")
        else:
            found[name] = command
    return found


def echo(options):
    every = {}
    commands = with_websockets(options)
    for number, size in ((1000, 32), (16, 65536)):
        rounds = {name: [] for name in commands}
        with contextlib.ExitStack() as stack:
            servers = [
                stack.enter_context(Server(name, command, "app"))
                for name, command in commands.items()
            ]
            for server in servers:
                server.wait()
            for _ in range(options.rounds):
                for server in in_turn(servers):
                    try:
                        result = echo_round(server, number, size, options.seconds)
                    except (RuntimeError, OSError) as error:
                        print(f"{server.name} fails at {size} bytes and is left out: {error}")
                        rounds.pop(server.name, None)
                    else:
                        if server.name in rounds:
                            rounds[server.name].append(result)
        results = {name: medians(each) for name, each in rounds.items()}
        add_ratios(results, "cpu_us", "ratio")
        columns = [
            ("messages/s", "rps", ",.0f"),
            ("CPU us", "cpu_us", ".1f"),
            ("x cwsgi", "ratio", ".2f"),
        ]
        table(f"WebSocket echo: {number} sockets, {size} bytes", results, columns)
        every[f"{number}x{size}"] = results
    return every


def idle(options):
    number, results = 10_000, {}
    for name, command in with_websockets(options).items():
        with Server(name, command, "app") as server:
            server.wait()
            open_socket(server.port).close()
            before, sockets = server.memory(), []
            try:
                sockets = [open_socket(server.port) for _ in range(number)]
                after = server.memory()
                results[name] = {"kib": (after["pss"] - before["pss"]) / number}
            except (RuntimeError, OSError) as error:
                print(f"{name}: {len(sockets)} sockets, then {error}")
            for sock in sockets:
                sock.close()
    add_ratios(results, "kib", "ratio")
    columns = [("KiB/socket", "kib", ".2f"), ("x cwsgi", "ratio", ".2f")]
    table(f"{number} idle WebSockets", results, columns)
    if "cwsgi" in results:
        few, many = (allocated("cwsgi", options.servers["cwsgi"], n) for n in (100, 1100))
        own, whole = ((after - before) / 1000 for before, after in zip(few, many, strict=True))
        print(f"cwsgi allocates {whole:,.0f} bytes for each, {own:,.0f} of them in C")
        results["cwsgi"] |= {"allocated": whole, "allocated_in_c": own}
    return results


def allocated(name, command, number):
    """Bytes on the heap while so many sockets are open: by the server's own C code, and all."""
    snapshot = BUILD / "massif"
    massif = ["valgrind", "-q", "--tool=massif", "--trace-children=yes", "--depth=3"]
    massif += ["--threshold=0", f"--massif-out-file={snapshot}.%p"]
    # CPython's small objects would else come out of pages of its own.
    with Server(name, command, prefix=massif, env={"PYTHONMALLOC": "malloc"}) as server:
        server.wait(120)
        sockets = [open_socket(server.port) for _ in range(number)]
        worker = max(server.processes())
        ask = ["vgdb", f"--pid={worker}", "detailed_snapshot", str(snapshot)]
        subprocess.run(ask, check=True, capture_output=True)
        for sock in sockets:
            sock.close()
    text = snapshot.read_text()
    # Who called malloc: lines of the first level.
    own = re.findall(r"^ n\d+: (\d+) 0x\w+: .*\bcwsgi/_core\b", text, re.M)
    return sum(map(int, own)), int(re.search(r"^mem_heap_B=(\d+)", text, re.M)[1])


# ---- all -----------------------------------------------------------------------------------


def measure(options, name):
    if name == "fastapi":
        return {
            "plain": http(options, name),
            "json": http(options, name, "/json"),
            "item": http(options, name, "/item", "item.lua"),
        }
    if name in APPS:
        return http(options, name)
    return {"echo": echo, "idle": idle}[name](options)


def find_python():
    for found in (
        *sorted(Path("~/.pyenv/versions").expanduser().glob("3.13*/bin/python3"), reverse=True),
        shutil.which("python3.13"),
    ):
        if found:
            return str(found)
    return os.path.realpath(sys.executable)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", default=",".join(TABLES), help="comma-separated")
    parser.add_argument("--servers", help="comma-separated; default all that are installed")
    parser.add_argument("--rounds", type=int, default=3, help="of each server (3)")
    parser.add_argument("--seconds", type=int, default=3, help="of a round (3)")
    parser.add_argument("--python", default=find_python(), help="the CPython to measure with")
    parser.add_argument("--json", help="write all figures to this file as well")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    BUILD.mkdir(parents=True, exist_ok=True)
    install(options.python)
    os.sched_setaffinity(0, {CORES["load"]})
    every = commands([str(VENV / "bin" / "cwsgi")])
    chosen = options.servers.split(",") if options.servers else list(every)
    tables = options.tables.split(",")
    unknown = [name for name in chosen if name not in every]
    unknown += [name for name in tables if name not in TABLES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; servers are {', '.join(every)}")
    options.servers = {name: every[name] for name in chosen if answers(name, every[name], "app")}
    results = {name: measure(options, name) for name in tables}
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
