"""``cwsgi dump``: the stacks of all threads, Python's and C's, of workers that go on."""

import argparse
import os
import re
import sys
import time

from .. import _core
from . import ToolError
from ._servers import (
    DRAINING,
    READY,
    SIGNAL_SHOW,
    ZYGOTE,
    Server,
    Worker,
    locked,
    printable,
    requests_of,
    seconds,
    send,
    server_and_worker,
)

LOOK = 0.005  # seconds between two looks
LOOP = 1.0  # seconds for a loop to turn, before the signal's handler is asked

PYTHON = re.compile(r"(?:Current thread|Thread) (0x[0-9a-f]+)(?: \[(.*)\])?")
FRAME = re.compile(r"(?:.*/)?([^/]*\(.*\)) ?\[0x[0-9a-f]+\]")
NATIVE = re.compile(r"C stack of thread (\d+) \((.*), (0x[0-9a-f]+)\):")


def main(program: str, args: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="cwsgi dump",
        description="Prints what each thread of a running server does, in Python and in C, "
        "while the server goes on.",
        epilog="Exit status: 0, or 1 where a worker did not answer or there is none.",
    )
    parser.add_argument(
        "server",
        nargs="?",
        metavar="PID|PIDFILE",
        help="of the server, or of one worker; not needed where one server runs",
    )
    parser.add_argument(
        "--timeout", type=seconds, default=5, metavar="S", help="for each worker's answer [5]"
    )
    parser.add_argument(
        "--query", action="store_true", help="show query strings of requests, tokens and all"
    )
    options = parser.parse_args(args)
    server, only = server_and_worker(options.server)
    workers = [one for one in server.workers(server.read()) if only in (None, one.pid)]
    if not workers:
        raise ToolError(f"the server {server.pid} has no worker at the moment")
    silent = 0
    with locked(server.fd):
        for worker in workers:
            try:
                text = ask(server, worker, options.timeout)
            except ToolError as error:
                print(f"cwsgi dump: {error}", file=sys.stderr)
                silent += 1
                continue
            sys.stdout.write(show(worker, text, options.query))
            sys.stdout.flush()
    return 1 if silent else 0


def ask(server: Server, worker: Worker, timeout: float) -> str:
    """Return what a worker says of its threads.

    Raises:
        ToolError: it did not answer.
    """
    if not worker.answers():
        raise ToolError(f"{worker} cannot be asked yet: its Python starts")
    # A loop that turns can say more: it may load what C's stacks need.
    turns = worker.slot != ZYGOTE and worker.told["state"] in (READY, DRAINING)
    began = time.monotonic()
    answer = put(server, worker, False, min(LOOP, timeout / 2)) if turns else None
    if answer is None:
        left = max(timeout - (time.monotonic() - began), 2 * LOOK)
        answer = put(server, worker, True, left)
    if answer is None:
        raise ToolError(f"{worker} does not answer: {state_of(worker.pid)}")
    text, whole, error = answer
    if error:
        raise ToolError(f"{worker} cannot answer: {os.strerror(error)}")
    shown = text.decode("utf-8", "backslashreplace")
    if whole > len(text):
        shown += f"[{whole - len(text)} bytes more did not fit]\n"
    return shown


def put(
    server: Server, worker: Worker, now: bool, patience: float
) -> "tuple[bytes, int, int] | None":
    """Return the answer to one question; None where there is none in time."""
    number = _core._board_ask(server.memory, worker.slot, now)
    send(worker, server.pid, SIGNAL_SHOW)
    end = time.monotonic() + patience
    while True:
        answer = _core._board_answer(server.memory, number)
        if answer is not None or time.monotonic() > end:
            return answer
        time.sleep(LOOK)


def state_of(pid: int) -> str:
    """Return why a process may be silent, as the kernel has it."""
    from ._servers import status_of

    states = {
        "T": "it was stopped by a signal (SIGSTOP)",
        "t": "a debugger holds it",
        "D": "it waits in the kernel, for a disk perhaps",
        "Z": "it has ended",
        "X": "it has ended",
        "": "it has ended",
    }
    state = status_of(pid).get("State", "")
    return states.get(state[:1], f"the kernel calls it {state!r}")


# ---- text ----


def show(worker: Worker, text: str, query: bool) -> str:
    """Return a worker's stacks as they are printed: each thread's Python and C together."""
    lines = [f"{worker}"]
    lines += [f"  it runs: {line}" for line in requests_of(worker.told, query)]
    for ident, name, python, native in threads(text):
        lines += ["", f"  thread {name or ident}"]
        lines += [f"    {line}" for line in python or ["(no Python)"]]
        lines += [f"    C: {line}" for line in native]
    return "\n".join(lines) + "\n\n"


def threads(text: str) -> "list[tuple[str, str, list[str], list[str]]]":
    """Return of each thread its number, name, Python's lines and C's lines.

    Args:
        text: what faulthandler writes, and after it ``C stack of thread`` and its lines.
    """
    found: dict[str, tuple[list[str], list[str]]] = {}
    names: dict[str, str] = {}
    into: list[str] | None = None
    rest: list[str] = []
    for line in text.splitlines():
        line = printable(line.strip())
        if match := NATIVE.fullmatch(line):
            ident = f"0x{int(match[3], 16):016x}"
            into = found.setdefault(ident, ([], []))[1]
            names[ident] = f"{match[2]} (tid {match[1]})"
        elif match := PYTHON.match(line):
            ident = f"0x{int(match[1], 16):016x}"
            into = found.setdefault(ident, ([], []))[0]
            if match[2]:
                names.setdefault(ident, match[2])
        elif line:
            (rest if into is None else into).append(line)
    listed = [(ident, names.get(ident, ""), *both) for ident, both in found.items()]
    for *_, native in listed:
        # The file's name and the function; where they lie differs from process to process.
        native[:] = [FRAME.sub(r"\1", line) for line in native]
    return ([("", "?", rest, [])] if rest else []) + listed
