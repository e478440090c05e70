"""Counts what clients lose while the server is operated: reloads, kills, an upgrade.

    bench/operate.py [--seconds 30] [--reloads 20] [--clients 16]

Clients ask again and again on kept-alive connections. A request is lost if it was sent on a
connection that the server had not announced to close and got no whole answer.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "ops")]
from ops import Load, wait_workers, worker_pids  # noqa: E402
from server import Server  # noqa: E402


def report(what, load, began, extra=""):
    seconds = time.monotonic() - began
    print(
        f"{what:34} {load.answered:8,} answered in {seconds:5.1f} s, "
        f"{len(load.lost)} lost, {load.late} late, {load.refused} refused{extra}",
        flush=True,
    )


def reloads(server, options):
    began = time.monotonic()
    with Load(server, options.clients) as load:
        for _ in range(options.reloads):
            old = worker_pids(server)
            load.wait_answers(200)
            server.send_signal(signal.SIGHUP)
            wait_workers(server, 2, without=old)
    report(f"{options.reloads} reloads, 2 workers", load, began)
    return not load.lost and not load.refused


def kills(server, options):
    """Each kill may take what its victim was running, at most one request a client."""
    began, killed = time.monotonic(), 0
    with Load(server, options.clients) as load:
        while time.monotonic() - began < options.seconds:
            target = began + killed + 1
            load.stopping.wait(max(target - time.monotonic(), 0))
            victims = worker_pids(server)
            if victims:
                os.kill(random.choice(sorted(victims)), signal.SIGKILL)
                killed += 1
    report(f"kill -9 every second, {killed} times", load, began, extra=noted(server))
    return not load.refused and len(load.lost) <= killed * options.clients


def noted(server):
    """What the supervisor's crash reports say was running."""
    return f"; {server.log().count('it was running:')} requests named in crash reports"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--reloads", type=int, default=20)
    parser.add_argument("--clients", type=int, default=16)
    options = parser.parse_args()
    good = True
    for preload in ([], ["--preload"]):
        for measure in (reloads, kills):
            with tempfile.TemporaryDirectory() as folder:
                server = Server(Path(folder) / "server", "ops:app", *preload, workers=2)
                try:
                    wait_workers(server, 2)
                    print(" ".join(preload) or "without --preload", end=": ")
                    good &= measure(server, options)
                finally:
                    server.finish()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
