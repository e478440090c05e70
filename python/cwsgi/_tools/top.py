"""``cwsgi top``: what a running server does, looked at again and again."""

import argparse
import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from . import ToolError, _sample, _screen
from ._servers import Server, seconds, server_and_worker

FORMAT = 1  # of --json: raised when a field goes or changes its meaning


def main(program: str, args: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="cwsgi top",
        description="Shows what a running server does: requests, times, threads, connections, "
        "memory. ^C ends it.",
    )
    parser.add_argument(
        "server", nargs="?", metavar="PID|PIDFILE", help="not needed where one server runs"
    )
    parser.add_argument("--once", action="store_true", help="look for one interval, then end")
    parser.add_argument("--json", action="store_true", help="an object for each interval")
    parser.add_argument(
        "--interval", type=seconds, default=2.0, metavar="S", help="seconds to look for [2]"
    )
    parser.add_argument(
        "--query", action="store_true", help="show query strings of requests, tokens and all"
    )
    options = parser.parse_args(args)
    server, _ = server_and_worker(options.server)
    try:
        return _watch(server, options)
    except KeyboardInterrupt:
        return 0


def _watch(server: Server, options: argparse.Namespace) -> int:
    watch = _sample.Watch(server, options.interval, options.query)
    with _awake() as wait:
        watch.look()
        while True:
            # The same figures again, in the new size; the interval goes on.
            while wait(watch.left()):
                if watch.shown and not options.json:
                    _screen.draw(watch.shown)
            if not server.runs():
                return _ended(server, options.once)
            shown = watch.look()
            if options.json:
                print(json.dumps({"format": FORMAT, **shown}), flush=True)
            else:
                _screen.draw(shown, again=not options.once)
            if options.once:
                return 0


def _ended(server: Server, once: bool) -> int:
    if once:
        raise ToolError(f"the server {server.pid} has ended meanwhile")
    print(f"cwsgi top: the server {server.pid} has ended", file=sys.stderr)
    return 0


@contextlib.contextmanager
def _awake() -> Iterator[Any]:
    """Yield a function that waits, and returns early, and True, when the terminal is resized."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.signal(signal.SIGWINCH, lambda number, frame: None)
    signal.set_wakeup_fd(writer)

    def wait(seconds: float) -> bool:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([reader], [], [], left)[0]:
                if signal.SIGWINCH in os.read(reader, 64):
                    return True
        return False

    try:
        yield wait
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGWINCH, before)
        os.close(reader)
        os.close(writer)
