"""A worker under --user tries to make the supervisor, which is root, do things for it."""

import fcntl
import json
import os
import pwd
import signal
import subprocess
import termios
import time

import psutil
import pytest
from client import SLOW, wait_for
from ops import terminal_of, titled, wait_workers
from server import APPS, program, run

NOBODY = pwd.getpwnam("nobody")
USER = ["--user", "nobody", "--group", NOBODY.pw_gid]
USED = 36  # offset in the board (apps/hostile.py)


@pytest.fixture
def tmp_path(open_folder):
    return open_folder


@pytest.fixture
def serve_hostile(serve, for_nobody):
    """Starts the hostile app as nobody's."""

    def start(*options, env=(), **more):
        arguments = {**for_nobody, "env": {**for_nobody["env"], **dict(env)}, **more}
        return serve("hostile:app", *USER, *options, **arguments)

    return start


def planted(folder, mark):
    """A configuration that tells who has run it, in a folder that nobody may write to."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    return f"import os\nopen({str(mark)!r}, 'a').write(f'{{os.getuid()}}\\n')\n"


# ---- what is shared ----


def test_only_the_board_can_be_written_to(serve_hostile, door):
    server = serve_hostile(env={"CWSGI_INTERPRETER": door})
    permissions = json.loads(server.get("/maps").body)
    assert permissions.count("rw-s") == 1, permissions
    # Neither can its length be changed, by whatever descriptor is left.
    server.get("/shrink")
    assert server.get("/who").status == 200


F_GET_SEALS, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE = 1034, 1, 2, 4, 8


def test_shared_memory_is_sealed(serve_hostile):
    """Its length, and all of it but the board: also for who has got hold of a descriptor."""
    server = serve_hostile()
    found = []
    for entry in os.scandir(f"/proc/{server.pid}/fd"):
        if "memfd:cwsgi" in os.readlink(entry.path):
            fd = os.open(entry.path, os.O_RDONLY)
            found.append(fcntl.fcntl(fd, F_GET_SEALS))
            os.close(fd)
    length = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW
    assert sorted(found) == [length, length | F_SEAL_WRITE]


def test_the_new_hooks_helper_does_not_start_in_the_workers_folder(serve_hostile, tmp_path, door):
    """The folder of the start was read from memory that the worker writes to."""
    trap, mark = tmp_path / "trap", tmp_path / "trapped"
    code = planted(trap, mark)
    (trap / "sitecustomize.py").write_text(code)
    start = tmp_path / "server0"
    started = tmp_path / "started"
    conf = f"def when_ready(server):\n    open({str(started)!r}, 'w')\n"
    library = tmp_path / "lib"
    (library / "conf_of_border.py").write_text(conf)
    server = serve_hostile(
        "-c", "python:conf_of_border", env={"HOSTILE_CWD": start, "CWSGI_INTERPRETER": door}
    )
    wait_for(started.exists, "the helper")
    time.sleep(1.1 * SLOW)  # one that ends earlier is not started again
    assert server.get(f"/make-writable?with={trap}").status == 200
    (helper,) = [p for p in server.workers() if p.uids().real == 0]
    helper.kill()
    server.wait_log("starting another one")
    wait_for(lambda: len(others(server, helper.pid)) == 1, "another helper")
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded")
    assert not mark.exists()


def others(server, pid):
    return [p for p in server.workers() if p.uids().real == 0 and p.pid != pid]


# ---- wishes ----


@pytest.fixture
def enough(tmp_path):
    """Ends the process that wishes."""
    yield tmp_path / "state" / "enough"
    (tmp_path / "state" / "enough").touch()


def test_a_wish_to_reload_counts_only_with_reload(serve_hostile, enough):
    server = serve_hostile()
    pids = wait_workers(server, 1)
    assert server.get("/wish").status == 200
    time.sleep(1 * SLOW)  # hundreds of wishes
    assert wait_workers(server, 1) == pids
    enough.touch()
    server.stop()
    assert "Reloaded" not in server.log()


def test_wishes_are_granted_once_a_second(serve_hostile, enough):
    server = serve_hostile("--reload", "--reload-engine", "poll")
    wait_workers(server, 1)
    began = time.monotonic()
    assert server.get("/wish").status == 200
    time.sleep(3 * SLOW)
    enough.touch()
    took = time.monotonic() - began
    log = server.log()
    reloads = log.count("] Reloaded") + log.count("given up for a newer one")
    assert 1 <= reloads <= took + 2


AGAIN = 237  # how a worker ends whose broken app has changed (csrc/base/heritage.h)


def test_a_worker_that_always_says_again(serve, tmp_path):
    """Whatever ends so at once is started at a limited pace."""
    (tmp_path / "again.py").write_text(f"import os\nos._exit({AGAIN})\n")
    began = time.monotonic()
    server = serve("again:app", "--reload", chdir=tmp_path, wait=False)
    wait_for(lambda: server.log().count("Booting worker") > 5, "it to be started again")
    assert time.monotonic() - began > 5 * 0.2


def test_a_worker_that_says_again_without_reload(tmp_path):
    """Nothing was waited for, so it is an app that cannot be started."""
    (tmp_path / "again.py").write_text(f"import os\nos._exit({AGAIN})\n")
    result = run("-b", "127.0.0.1:0", "--chdir", tmp_path, "again:app")
    assert result.returncode == 1
    assert result.stderr.count("Booting worker") == 1


# ---- numbers on the board ----


@pytest.mark.parametrize("used", [2_000_000_000, -5])
def test_metrics_keep_inside_the_board(serve_hostile, used):
    server = serve_hostile("--metrics", "/metrics", workers=2)
    pids = wait_workers(server, 2)
    for _ in range(8):
        server.get(f"/put?at={USED}&size=4&value={used}")
        assert server.get("/metrics").status == 200
    assert wait_workers(server, 2) == pids
    # What the supervisor knows stands there again after its next turn.
    server.send_signal(signal.SIGUSR1)
    wait_for(lambda: b"cwsgi_workers 2\n" in server.get("/metrics").body, "both workers")


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 10**12, -1])
def test_times_that_cannot_be_blame_nobody(serve_hostile, value):
    """Not the worker that they are written to, nor another; and nothing overflows."""
    server = serve_hostile("--timeout", f"{2 * SLOW}", workers=2)
    pids = wait_workers(server, 2)
    size = (board_size(server) - 40) // 512 & ~7  # the mapping ends with its page
    time.sleep(1 * SLOW)  # the watch is no longer at its begin
    for slot in range(2):
        for at in (24, 32):
            server.get(f"/put?at={40 + slot * size + at}&size=8&value={value}")
    server.get(f"/put?at=0&size=8&value={value}")
    time.sleep(2.5 * SLOW)  # longer than --timeout
    assert "WORKER TIMEOUT" not in server.log()
    assert wait_workers(server, 2) == pids


def board_size(server):
    """Length of the board, from the worker's mappings."""
    (worker, *_) = titled(server, "worker")
    for line in open(f"/proc/{worker.pid}/maps"):
        if "memfd:cwsgi" in line and "rw-s" in line:
            begin, end = (int(word, 16) for word in line.split()[0].split("-"))
            return end - begin
    raise LookupError("no board")


def test_a_flood_of_the_pipe_does_not_take_a_core(serve_hostile):
    """The supervisor wakes up for it some hundred times a second, not as often as it can."""
    server = serve_hostile()
    wait_workers(server, 1)
    supervisor = psutil.Process(server.pid)

    def used():
        return sum(supervisor.cpu_times()[:2])

    wakes, cpu, began = sum(supervisor.num_ctx_switches()), used(), time.monotonic()
    assert server.get("/flood?s=2").status == 200
    took = time.monotonic() - began
    assert sum(supervisor.num_ctx_switches()) - wakes < 100 + 1000 * took
    # One that never sleeps does not switch either.
    assert used() - cpu < took / 8


@pytest.mark.parametrize("preload", [False, True])
def test_scribbling_over_everything(serve_hostile, preload):
    """The board filled with rubbish, the pipe flooded; then all is as before."""
    options = ["--preload"] if preload else []
    server = serve_hostile(
        "--metrics", "/metrics", "--timeout", "30", *options, workers=2, threads=4
    )
    server.expected_exit = {0}
    wait_workers(server, 2)
    for _ in range(2):
        server.get(f"/scribble?s={1.5 * SLOW}")
    assert psutil.Process(server.pid).uids().real == 0
    pids = wait_workers(server, 2)
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded", 30)
    wait_workers(server, 2, without=pids)
    wait_for(lambda: b"cwsgi_workers 2\n" in server.get("/metrics").body, "metrics")
    assert server.stop() == 0


# ---- the terminal ----


@pytest.mark.parametrize("preload", [False, True])
def test_a_worker_cannot_type_at_roots_terminal(serve_hostile, tmp_path, preload, door):
    """What it pushed into the terminal would be the next command of the shell that started it."""
    master, slave = os.openpty()

    def controlled():
        fcntl.ioctl(slave, termios.TIOCSCTTY)
        os.dup2(slave, 0)
        os.dup2(slave, 2)

    options = ["--preload"] if preload else []
    log = ["--error-logfile", tmp_path / "state" / "log"]  # the terminal is read by nobody
    server = serve_hostile(*options, *log, env={"CWSGI_INTERPRETER": door}, preexec=controlled)
    (pid,) = wait_workers(server, 1)
    assert len(json.loads(server.get("/type").body)) == len("typed by nobody\n")
    os.set_blocking(slave, False)
    with pytest.raises(BlockingIOError):
        os.read(slave, 100)
    assert terminal_of(server.pid) != 0 == terminal_of(pid)
    # Root's signals from there still stop all of it.
    os.write(master, b"\x03")
    assert server.wait_exit() == 0
    os.close(master)
    os.close(slave)


# ---- process ids ----


@pytest.fixture(params=[0, NOBODY.pw_uid], ids=["root's", "nobody's"])
def bystander(request):
    """A process that is no business of the server's."""
    process = subprocess.Popen(["sleep", "600"], user=request.param)
    yield process
    process.kill()
    process.wait()


def refuse(server, pid=None):
    """Waits until the zygote has named somebody, who is not taken for a worker."""
    server.wait_log("Booting" if pid == "-1" else "which is no new worker")
    server.wait_ready()
    wait_workers(server, 1)
    assert f"Booting worker with pid: {pid}\n" not in server.log()
    assert server.stop() == 0


def test_a_zygote_names_a_bystander(serve_hostile, bystander):
    refuse(
        serve_hostile("--preload", env={"HOSTILE_PID": bystander.pid}, wait=False), bystander.pid
    )
    assert bystander.poll() is None


@pytest.mark.parametrize("named", ["0", "-1", "1", "parent", "self"])
def test_a_zygote_can_name_only_new_children(serve_hostile, named):
    pid = os.getpid() if named == "parent" else named
    refuse(serve_hostile("--preload", env={"HOSTILE_PID": pid}, wait=False), pid)


ORPHAN = """
import subprocess


def pre_fork(server, worker):
    code = '[ -e ORPHAN ] || { sleep 600 & echo -n $! > ORPHAN.new && mv ORPHAN.new ORPHAN; }'
    subprocess.run(["sh", "-c", code], check=True)
"""


def test_a_zygote_names_what_a_hook_has_left(serve_hostile, tmp_path):
    """A child of the supervisor, which takes orphans in, but root's."""
    orphan, conf = tmp_path / "orphan", tmp_path / "a.conf.py"
    conf.write_text(ORPHAN.replace("ORPHAN", str(orphan)))
    server = serve_hostile("--preload", "-c", conf, env={"HOSTILE_PID": orphan}, wait=False)
    try:
        wait_for(orphan.exists, "the hook")
        left = psutil.Process(int(orphan.read_text()))
        wait_for(lambda: left.ppid() == server.pid or not left.is_running(), "it to be ours")
        refuse(server, left.pid)
        assert left.is_running()
    finally:
        left.kill()


# ---- the configuration ----


def test_a_reload_looks_for_no_configuration(serve_hostile, tmp_path):
    """What is planted in the folder of the start after the start is not run."""
    mark = tmp_path / "trapped"
    server = serve_hostile()
    wait_workers(server, 1)
    (server.folder / "gunicorn.conf.py").write_text(planted(tmp_path / "trap", mark))
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded")
    assert not mark.exists()


def test_a_configuration_that_was_found_is_read_again(serve, tmp_path):
    conf = tmp_path / "gunicorn.conf.py"
    conf.write_text("proc_name = 'first'\n")
    server = serve(
        "hello:app", command=["sh", "-c", f'cd {tmp_path} && exec "$@"', "-", *program()]
    )
    wait_workers(server, 1)
    conf.write_text("proc_name = 'second'\n")
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded")
    wait_for(lambda: "second" in " ".join(titled(server, "worker")[0].cmdline()), "its name")


@pytest.mark.parametrize("name", ["json", "traceback", "dataclasses"])
@pytest.mark.parametrize("fails", [False, True])
def test_modules_beside_us_are_not_the_librarys(tmp_path, name, fails, door):
    """The reader of the configuration runs with the supervisor's rights."""
    mark = tmp_path / "trapped"
    (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')\n")
    (tmp_path / "neighbour.py").write_text("here = True\n")
    conf = tmp_path / "a.conf.py"
    conf.write_text("import json, dataclasses, neighbour\n" + ("1 / 0\n" if fails else ""))
    options = ["-c", conf, "--check-config", "--chdir", APPS, "hello:app"]
    result = run(*options, cwd=tmp_path, env={"CWSGI_INTERPRETER": door})
    assert result.returncode == (1 if fails else 0), result.stderr
    assert ("ZeroDivisionError" in result.stderr) == fails
    assert not mark.exists()


def test_the_title_of_the_hooks_helper(serve, tmp_path, door):
    if door == "exec":
        pytest.skip("the interpreter's command line is its title")
    conf = tmp_path / "a.conf.py"
    conf.write_text("def when_ready(server): pass\n")
    server = serve("hello:app", "-c", conf, env={"CWSGI_INTERPRETER": door})
    wait_for(lambda: titled(server, "hooks [hello:app]"), "the helper's title")
