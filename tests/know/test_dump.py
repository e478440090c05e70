"""`cwsgi dump`: what all threads of a server do, while it goes on."""

import os
import pwd
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from client import request, wait_for
from server import no_tsan, program, run, titled, worker_pids

# TSan holds signals back until a thread calls something that it knows.
signals_at_once = no_tsan
GLIBC = "glibc" in os.confstr("CS_GNU_LIBC_VERSION") if hasattr(os, "confstr") else False


def dumped(*args, code=0, **kwargs):
    done = run("dump", *args, **kwargs)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def waiting(server, gate="wait"):
    """A request that waits, and its client."""
    client = server.connect()
    before = len(server.marks("waiting"))
    client.send(request(f"/wait?gate={gate}"))
    server.wait_marks("waiting", before + 1)
    return client


def board_of(server):
    folder = Path(f"/proc/{server.pid}/fd")
    (board,) = [one for one in folder.iterdir() if "cwsgi-board" in os.readlink(one)]
    return board


def test_both_stacks_and_the_request(serve, door, tmp_path):
    """Python's and C's, under the thread's name, with nothing in the log and nothing lost."""
    pidfile = tmp_path / "pid"
    server = serve("ops:app", "-p", pidfile, env={"CWSGI_INTERPRETER": door})
    client = waiting(server)
    text = dumped(pidfile, env={"CWSGI_INTERPRETER": door})
    assert re.search(r"^worker 1 \(pid \d+\), serving$", text, re.M)
    assert "it runs: GET /wait\n" in text
    assert "it runs: GET /wait?gate=wait\n" in dumped("--query", pidfile)
    of_app = [part for part in text.split("\n\n") if "in wait_gate" in part]
    assert len(of_app) == 1 and re.match(r"  thread cwsgi-app \(tid \d+\)\n", of_app[0])
    assert re.search(r'File ".*common\.py", line \d+ in wait_gate', of_app[0])
    if GLIBC:
        assert re.search(r"^    C: .*Py", of_app[0], re.M)
    assert "thread cwsgi-keeper" in text
    server.open_gate("wait")
    assert client.response().body == b"waited"
    assert "stack" not in server.log()


def test_again_and_again(serve):
    """Nothing is kept of it: neither memory nor descriptors."""
    server = serve("ops:app")
    dumped(server.pid)
    worker = server.worker()
    board = board_of(server)

    def held():
        return worker.num_fds(), os.listdir(f"/proc/{server.pid}/fd"), os.stat(board).st_blocks

    before = held()
    for _ in range(3):
        assert "worker 1" in dumped(server.pid)
    assert held() == before
    assert server.get("/who").status == 200


def test_all_workers_or_one(serve):
    server = serve("ops:app", workers=2)
    wait_for(lambda: len(worker_pids(server)) == 2, "two workers")
    assert sorted(re.findall(r"^worker (\d)", dumped(server.pid), re.M)) == ["1", "2"]
    (pid, other) = worker_pids(server)
    text = dumped(pid)
    assert f"(pid {pid})" in text and f"(pid {other})" not in text


@signals_at_once
def test_a_thread_that_never_gives_the_gil_up(serve):
    server = serve("ops:app", threads=1)
    server.check_connections = False
    client = server.connect()
    client.send(request("/spin"))
    server.wait_marks("spinning")
    text = dumped(server.pid)
    assert re.search(r'File ".*ops\.py", line \d+ in spin', text)
    server.worker().kill()


@signals_at_once
def test_an_import_that_hangs(serve, door):
    server = serve("slow_import:app", wait=False, env={"CWSGI_INTERPRETER": door})
    server.wait_marks("importing")
    text = dumped(server.pid)
    assert re.search(r"^worker 1 \(pid \d+\), starting$", text, re.M)
    assert re.search(r'File ".*slow_import\.py", line \d+ in <module>', text)
    server.open_gate("import")
    server.wait_ready()


@signals_at_once
def test_preloaded(serve):
    """Of the process that imports, and of workers that were forked from it."""
    server = serve("slow_import:app", "--preload", workers=2, wait=False)
    server.wait_marks("importing")
    text = dumped(server.pid)
    assert "preloading process" in text and re.search(r"slow_import\.py.* in <module>", text)
    server.open_gate("import")
    server.wait_ready()
    wait_for(lambda: len(worker_pids(server)) == 2, "two workers")
    for _ in range(2):
        text = dumped(server.pid)
        assert sorted(re.findall(r"^worker (\d)", text, re.M)) == ["1", "2"]
        assert text.count("thread cwsgi (tid") == 2 or text.count("thread ") >= 2


def test_a_stopped_worker(serve):
    server = serve("ops:app", workers=2)
    serving = "), serving\n"
    wait_for(lambda: run("dump", server.pid).stdout.count(serving) == 2, "two workers that serve")
    (stuck, other) = sorted(worker_pids(server))
    os.kill(stuck, signal.SIGSTOP)
    try:
        done = run("dump", server.pid, "--timeout", "1")
    finally:
        os.kill(stuck, signal.SIGCONT)
    assert done.returncode == 1
    assert f"(pid {stuck}), serving does not answer: it was stopped by a signal" in done.stderr
    assert f"(pid {other})" in done.stdout
    # What it answers now is nobody's question; the next one is.
    wait_for(lambda: f"(pid {stuck})" in run("dump", stuck).stdout, "it to answer")
    assert server.get("/who").status == 200


def test_workers_of_another_user(serve, for_nobody):
    server = serve("ops:app", "-u", "nobody", "-g", pwd.getpwnam("nobody").pw_gid, **for_nobody)
    server.state = for_nobody["env"]["CWSGI_TEST_DIR"]
    client = waiting(server)
    text = dumped(server.pid, env=for_nobody["env"])
    assert "in wait_gate" in text
    server.open_gate("wait")
    assert client.response().body == b"waited"


@pytest.fixture
def tmp_path(open_folder):
    return open_folder


@no_tsan  # whose runtime that user cannot load
def test_another_users_server(serve, for_nobody):
    command = program()[0]
    server = serve("ops:app")
    done = subprocess.run(
        [command, "dump", str(server.pid)],
        env={**os.environ, **{k: str(v) for k, v in for_nobody["env"].items()}},
        user="nobody",
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"process {server.pid} is root's: only that user" in done.stderr
    assert server.get("/who").status == 200


# ---- what is no server ----


def test_who_is_not_asked(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert f"no process {gone.pid} runs here" in dumped(gone.pid, code=1)
    # Not this process: it may hold the board of another test's server.
    other = subprocess.Popen(["sleep", "60"])
    try:
        assert f"process {other.pid} is no cwsgi" in dumped(other.pid, code=1)
    finally:
        other.kill()
        other.wait()
    assert "nothing: No such file" in dumped(tmp_path / "nothing", code=1)
    (tmp_path / "text").write_text("hello\n")
    assert "is no pid file" in dumped(tmp_path / "text", code=1)
    assert "usage: cwsgi dump" in dumped("--nope", code=2)


OTHER = """
import os, struct, sys
fd = os.memfd_create("cwsgi-board")
os.write(fd, struct.pack("=II24s", 0x63776264, 999, b"9.9\\x1b[31m") + bytes(8 << 20))
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_board_of_another_version():
    with subprocess.Popen(
        [sys.executable, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        text = dumped(process.pid, code=1)
        process.stdin.close()
    assert "has the board of cwsgi 9.9" in text
    assert "use the cwsgi that it was started with" in text and "\x1b" not in text


def test_one_at_a_time(serve):
    import fcntl

    server = serve("ops:app")
    with open(board_of(server), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "somebody else asks" in dumped(server.pid, code=1)
    assert "worker 1" in dumped(server.pid)


def test_a_worker_cannot_name_another_process(serve):
    """Who is signalled is a child of the supervisor, whatever the board says."""
    import mmap
    import struct

    server = serve("ops:app")
    victim = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    folder = Path(f"/proc/{server.pid}/fd")
    (board,) = [one for one in folder.iterdir() if "cwsgi-board" in os.readlink(one)]
    (pid,) = worker_pids(server)
    with open(board, "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        ready = 2
        at = memory.find(struct.pack("ii", ready, pid)) + 4
        memory[at : at + 4] = struct.pack("i", victim.pid)
        assert "has no worker" in dumped(server.pid, code=1)
        memory[at : at + 4] = struct.pack("i", pid)
    assert psutil.Process(victim.pid).status() != psutil.STATUS_ZOMBIE
    victim.communicate(b"\n")
    assert victim.returncode == 0
    assert f"(pid {pid})" in dumped(server.pid)


def test_hooks_processes_are_not_asked(serve, tmp_path):
    """The helper of the master's hooks has no handler: the signal would end it."""
    config = tmp_path / "conf.py"
    config.write_text("def on_starting(server): pass\ndef when_ready(server): pass\n")
    server = serve("ops:app", "-c", config)
    (helper,) = titled(server, "hooks")
    assert "worker 1" in dumped(server.pid)
    assert helper.is_running() and helper.status() != psutil.STATUS_ZOMBIE


# ---- text ----


@no_tsan
def test_what_a_terminal_is_shown():
    from cwsgi._tools import dump

    text = (
        "Thread 0x00007f0000000001 (most recent call first):\n"
        '  File "a\x1b[2Jb.py", line 1 in f\n\n'
        "C stack of thread 12 (na\x07me, 0x7f0000000001):\n"
        "/lib/libc.so.6(read+0x1)[0x7f00]\n"
        "C stack of thread 13 (only-c, 0x7f0000000002):\n"
        "./prog(+0x1) [0x7f01]\n"
    )
    one, two = dump.threads(text)
    assert one[1:] == (
        "na\\x07me (tid 12)",
        ['File "a\\x1B[2Jb.py", line 1 in f'],
        ["libc.so.6(read+0x1)"],
    )
    assert two[1:] == ("only-c (tid 13)", [], ["prog(+0x1)"])
