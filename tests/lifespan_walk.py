"""Fails each allocation of an app's start and of its end: see tests/hostile/test_asgi_faults.py.

Each time in a process of its own, which writes a line of JSON: the half, which allocation, what
was raised, what the app has done, how much was logged.
"""

import asyncio
import faulthandler
import itertools
import json
import os
import sys

from cwsgi import _asgi, _core

LIMIT = 60  # seconds for one start or end
CAME, LEFT = 0, 3  # exit statuses: the failure came, or not
did = []


async def app(scope, receive, send):
    for half in ("startup", "shutdown"):
        await receive()
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        did.append(half)
        await send({"type": f"lifespan.{half}.complete"})


def step(half, n):
    """Returns whether the n-th allocation came to fail."""
    logged, raised = os.fstat(2).st_size, None
    runner = _asgi.Runner([app], "asyncio", "auto")
    if half == "shutdown":
        runner.startup()
    faulthandler.dump_traceback_later(LIMIT, exit=True)
    _core._fault_arm(n)
    try:
        if half == "startup":
            runner.startup()
        else:
            runner.shutdown(_asgi.LEAST)
    except Exception as error:
        raised = error
    left = _core._fault_left()
    _core._fault_arm(0)
    faulthandler.cancel_dump_traceback_later()
    told = {
        "half": half,
        "n": n,
        "raised": raised and f"{type(raised).__name__}: {raised}",
        "done": did,
        "logged": os.fstat(2).st_size - logged,
    }
    print(json.dumps(told), flush=True)
    return left == 0


def forked(half, n):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = CAME if step(half, n) else LEFT
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status not in (CAME, LEFT):
        sys.exit(f"{half}, allocation {n}: status {status}")
    return status == CAME


def main():
    if not hasattr(_core, "_fault_arm"):
        sys.exit("this build injects no faults")
    for half in ("startup", "shutdown"):
        for n in itertools.count(1):
            if not forked(half, n):
                break


main()
