"""Runs Autobahn's cases against the echo of a real server.

    tests/websocket_cases.py [--loop asyncio,uvloop] [--compression on,context] [--only 12.*,13.*]

Each combination is a server of its own, which answers every case: 1 to 7 and 10 are the
protocol, 9 sizes and speed, 12 and 13 permessage-deflate. Cases that are not passed are
printed with the runner's reason, and the exit is 1.
"""

import argparse
import asyncio
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from server import Server, clean_env

# A case that runs for longer takes the server's own ping for an answer, and ends.
SILENT = ["--ws-ping-interval", "0"]


def run_cases(server, only=("*",), without=(), timeout=3000):
    """What came of the cases that these patterns choose, as dicts.

    In a process of its own, since the runner puts modules of general names on its path.
    """
    command = [sys.executable, __file__, "--against", f"ws://{server.binds[0]}"]
    command += ["--only", ",".join(only), "--without", ",".join(without)]
    done = subprocess.run(command, env=clean_env(), capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"the runner ended with {done.returncode}: {done.stderr}"
    return json.loads(done.stdout)


def failures(results):
    return [one for one in results if not one["passed"]]


def mend_runner():
    """Messages that were not compressed reach the cases about compression as text.

    These want bytes; without that, the runner fails before it has compared anything.
    """
    importlib.import_module("kosoku._caseindex").initialize_shims()
    cases = importlib.import_module("case12_x_x")
    given = cases.onMessage

    def on_message(self, message, binary):
        if isinstance(message, str):
            message = message.encode("latin-1" if binary else "utf-8")
        given(self, message, binary)

    for case in cases.Case12_X_X + cases.Case13_X_X:
        case.onMessage = on_message


def run_here(url, only, without):
    import kosoku

    mend_runner()
    try:
        results = asyncio.run(kosoku.run_fuzzingclient(url, only, without or None, concurrency=2))
    except kosoku.FailureError as failure:
        results = failure.results
    return [
        {
            "case": one.case_id,
            "passed": one.passed,
            "messages": f"{one.behavior.value}: {one.result}",
            "close": f"{one.behavior_close.value}: {one.result_close}",
        }
        for one in results
    ]


def run_all(loop, compression, only):
    """One server, all of these cases. Returns whether they are passed."""
    began = time.monotonic()
    options = ["--loop", loop, "--ws-per-message-deflate", compression]
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "server", "asgisocket:app", *options, *SILENT)
        try:
            results = run_cases(server, only)
        finally:
            server.finish()
    bad = failures(results)
    sections = Counter(one["case"].split(".")[0] for one in results if one["passed"])
    print(
        f"{loop}, compression {compression}: {len(results) - len(bad)} of {len(results)} passed",
        f"in {time.monotonic() - began:.0f} s; by section:",
        ", ".join(f"{name}: {sections[name]}" for name in sorted(sections, key=int)),
        flush=True,
    )
    for one in bad:
        print(f"FAILED {one['case']}: {one['messages']} / {one['close']}", flush=True)
    return bool(results) and not bad


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--loop", default="asyncio,uvloop")
    parser.add_argument("--compression", default="on,context")
    parser.add_argument("--only", default="*")
    parser.add_argument("--without", default="", help="with --against")
    parser.add_argument("--against", help="URL of a server that runs; prints JSON")
    options = parser.parse_args()
    only = options.only.split(",")
    if options.against:
        without = [pattern for pattern in options.without.split(",") if pattern]
        print(json.dumps(run_here(options.against, only, without)), flush=True)
        # The runner's extension aborts now and then while the interpreter ends (CPython 3.12).
        os._exit(0)
    passed = [
        run_all(loop, compression, only)
        for loop in options.loop.split(",")
        for compression in options.compression.split(",")
    ]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
