"""What the container grants: processors and memory, from files in a cgroup's place."""

import os
import re
import shutil
import subprocess

import pytest
from client import wait_for
from ops import wait_workers, worker_pids
from server import program

MIB = 1024 * 1024


def can_mount():
    if os.getuid() or not shutil.which("unshare") or not os.path.isdir("/sys/fs/cgroup"):
        return False
    return (
        subprocess.run(
            ["unshare", "-m", "mount", "--bind", "/tmp", "/sys/fs/cgroup"], capture_output=True
        ).returncode
        == 0
    )


class Cgroup:
    """A folder that the server sees as /sys/fs/cgroup, in a mount namespace of its own."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        script = 'mount --bind "$1" /sys/fs/cgroup && shift && exec "$@"'
        self.command = ["unshare", "-m", "sh", "-c", script, "sh", str(folder), *program()]

    def set(self, name, text):
        """In one step: the server may be reading."""
        other = self.folder / "new"
        other.write_text(f"{text}\n")
        other.rename(self.folder / name)


@pytest.fixture
def cgroup(tmp_path):
    if not can_mount():
        pytest.skip("needs root and mount namespaces")
    return Cgroup(tmp_path / "cgroup")


@pytest.mark.parametrize(
    "quota, workers", [("100000 100000", 1), ("150000 100000", 2), ("max 100000", None)]
)
def test_workers_by_quota(serve, cgroup, quota, workers):
    """A quota of one and a half processors is two workers; none, one for each of affinity."""
    cgroup.set("cpu.max", quota)
    server = serve("ops:app", workers=None, command=cgroup.command)
    expected = min(workers or 1000, len(os.sched_getaffinity(0)))
    wait_workers(server, expected)


def test_no_more_workers_than_fit(serve, cgroup):
    cgroup.set("cpu.max", "max 100000")
    cgroup.set("memory.max", 12 * MIB)
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor is one worker anyway")
    server = serve("large:app", workers=None, command=cgroup.command)
    server.wait_log("starting 1 of")
    wait_workers(server, 1)
    assert re.search(r"one holds \d+ MiB after import, 12 MiB are granted", server.log())


def test_chosen_workers_are_started_whatever_fits(serve, cgroup):
    cgroup.set("memory.max", 12 * MIB)
    server = serve("large:app", workers=2, command=cgroup.command)
    wait_workers(server, 2)


def test_a_nearly_full_container(serve, cgroup):
    """Of two workers the larger goes; what the kernel can drop is not counted."""
    cgroup.set("memory.max", 1000 * MIB)
    cgroup.set("memory.current", 990 * MIB)
    cgroup.set("memory.stat", f"anon 5\ninactive_file {500 * MIB}")
    server = serve("ops:app", workers=2, command=cgroup.command)
    before = wait_workers(server, 2)
    server.wait_marks("imported", 2)
    assert server.get("/grow?mb=60").status == 200
    assert worker_pids(server) == before
    cgroup.set("memory.stat", "anon 5\ninactive_file 0")
    server.wait_log("memory is nearly used up (990 of 1000 MiB)")
    cgroup.set("memory.current", 100 * MIB)
    (gone,) = re.findall(r"replacing worker \(pid:(\d+)\)", server.log())
    assert int(gone) in before
    wait_workers(server, 2, without=[int(gone)])
    wait_for(lambda: server.get("/who").status == 200, "service")


def test_the_only_worker_stays(serve, cgroup):
    cgroup.set("memory.max", 1000 * MIB)
    cgroup.set("memory.current", 999 * MIB)
    server = serve("ops:app", workers=1, command=cgroup.command)
    before = wait_workers(server, 1)
    for _ in range(5):
        assert server.get("/sleep?s=0.3").status == 200
    assert worker_pids(server) == before


def kept_alive(server, count):
    """How many of `count` idle connections are still open."""
    clients = [server.connect() for _ in range(count)]
    for client in clients:
        assert client.ask("/").status == 200
    return len([client for client in clients if client.quiet()])


@pytest.mark.parametrize("limit, least, most", [(128 * MIB, 90, 110), (MIB, 64, 64)])
def test_connections_follow_the_memory(serve, cgroup, limit, least, most):
    """Half of it is for connections, each counted with all that it may hold."""
    cgroup.set("memory.max", limit)
    server = serve("hello:app", workers=1, command=cgroup.command)
    assert least <= kept_alive(server, 120) <= most


def test_workers_share_the_memory_for_connections(serve, cgroup):
    cgroup.set("memory.max", 256 * MIB)
    server = serve("hello:app", workers=2, command=cgroup.command)
    assert kept_alive(server, 260) <= 2 * 110


def test_chosen_connections_are_held_whatever_the_memory(serve, cgroup):
    cgroup.set("memory.max", MIB)
    server = serve("hello:app", "--worker-connections", "100", workers=1, command=cgroup.command)
    assert kept_alive(server, 120) == 100
