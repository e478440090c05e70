"""--preload: one import, and workers that share its memory."""

import json
import os
import signal

import psutil
import pytest
from client import SLOW, wait_for
from ops import titled, wait_workers


def test_the_app_is_imported_once(serve):
    server = serve("ops:app", "--preload", workers=3)
    wait_workers(server, 3)
    (zygote,) = titled(server, "preload")
    answers = [json.loads(server.get("/who").body) for _ in range(10)]
    assert {answer["imported_in"] for answer in answers} == {zygote.pid}
    assert zygote.pid not in {answer["pid"] for answer in answers}
    assert {answer["ppid"] for answer in answers} == {server.pid}
    assert len(server.marks("imported")) == 1


def test_workers_draw_different_random_numbers(serve):
    server = serve("ops:app", "--preload", workers=2)
    old = wait_workers(server, 2)
    seen = {server.get("/random").body}
    for pid in old:
        os.kill(pid, signal.SIGKILL)
        wait_workers(server, 2, without=[pid])
        seen.add(server.get("/random").body)
    assert len(seen) == 3


def private_bytes(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return sum(
            int(line.split()[1]) * 1024
            for line in rollup
            if line.startswith(("Private_Clean:", "Private_Dirty:"))
        )


def test_memory_is_shared(serve):
    """Four workers of an app that holds 50 MB cost little more than one."""
    if SLOW > 1:
        pytest.skip("sanitizers keep shadow memory")
    held = {}
    for options in ([], ["--preload"]):
        server = serve("large:app", *options, workers=4)
        pids = wait_workers(server, 4)
        for _ in range(40):
            assert server.get("/").body == b"50"
        server.wait_marks("started", 1 if options else 4)
        zygotes = [process.pid for process in titled(server, "preload")]
        held[bool(options)] = sum(map(private_bytes, [*pids, *zygotes, server.pid]))
    assert held[False] > 200e6
    assert held[True] < held[False] / 2


def test_threads_of_the_import_are_named(serve):
    server = serve("threaded:app", "--preload", workers=1)
    server.wait_log("workers do not get: counts-things")
    assert server.get("/").status == 200


def test_register_at_fork(serve):
    server = serve("threaded:app", "--preload", workers=2)
    pids = wait_workers(server, 2)
    wait_for(lambda: {int(p) for p in server.marks("at-fork")} == pids, "at-fork functions")


def test_the_zygote_is_replaced(serve):
    server = serve("ops:app", "--preload", workers=1)
    (old,) = wait_workers(server, 1)
    (zygote,) = titled(server, "preload")
    server.wait_log("Listening at")  # before, its end would be the start's
    zygote.kill()
    server.wait_log("the preloading process ended")
    assert server.get("/who").status == 200
    os.kill(old, signal.SIGKILL)
    wait_workers(server, 1, without=[old])
    wait_for(lambda: server.get("/who").status == 200, "service")


def test_a_broken_import_ends_the_start(serve):
    server = serve("slow_import:app", "--preload", wait=False)
    server.expected_exit = {3}
    server.open_gate("fail")
    server.open_gate("import")
    assert server.wait_exit() == 3
    assert "import went wrong" in server.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_stop_while_preloading(serve, number):
    server = serve("slow_import:app", "--preload", wait=False)
    server.wait_marks("importing")
    assert server.stop(number, timeout=5) == 0


def test_no_orphans_after_the_supervisor_is_killed(serve):
    server = serve("ops:app", "--preload", "--graceful-timeout", "1", workers=2)
    family = wait_workers(server, 2) | {process.pid for process in titled(server, "preload")}
    server.expected_exit = {-signal.SIGKILL}
    server.send_signal(signal.SIGKILL)
    server.wait_exit()
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in family), "all to end", 10)
