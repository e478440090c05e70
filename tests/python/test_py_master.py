"""The helper for the master's hooks, run as the supervisor runs it."""

import os
import signal
import socket
import subprocess
import sys

import pytest
from client import SLOW

RUN = "import sys; from cwsgi._master import main; sys.exit(main(int(sys.argv[1]), sys.argv[2]))"
SETTINGS = ("settings", "workers=2", "bind[=127.0.0.1:80", "proc_name=api", "timeout=1.500")

FILE = """\
import os

def note(*words):
    print(*words, flush=False)

def on_starting(server):
    note("starting", server.pid == os.getppid(), server.address, server.num_workers,
         server.cfg.workers, server.proc_name, server.timeout)
    server.kept = "kept"
def on_reload(server):
    note("reload", server.kept, server.cfg.workers)
def when_ready(server):
    server.log.info("ready %s", len(server.WORKERS))
def pre_fork(server, worker):
    note("pre_fork", worker.pid, worker.age)
    worker.mine = worker.age * 10
def child_exit(server, worker):
    note("child_exit", worker.pid, worker.age, worker.exitcode, getattr(worker, "mine", None),
         sorted(server.WORKERS), worker.alive)
def nworkers_changed(server, new_value, old_value):
    note("nworkers", new_value, old_value, server.num_workers)
def pre_exec(server):
    raise ValueError("not now")
def on_exit(server):
    note("exit")
"""


class Helper:
    def __init__(self, folder, source, first=SETTINGS, **env):
        self.path = folder / "gunicorn.conf.py"
        self.path.write_text(source)
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(20 * SLOW)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RUN, str(theirs.fileno()), str(self.path)],
                pass_fds=[theirs.fileno()],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=folder,
                env={**os.environ, **env},
            )
        self.first = self.ask(*first) if first else None

    def ask(self, *words):
        self.sock.send("\0".join(map(str, words)).encode())
        return self.sock.recv(100).decode()

    def end(self):
        """Closes our end and returns exit status, output and errors."""
        self.sock.close()
        out, err = self.process.communicate(timeout=20 * SLOW)
        return self.process.returncode, out, err


@pytest.fixture
def start(tmp_path):
    started = []

    def make(*args, **kwargs):
        started.append(Helper(tmp_path, *args, **kwargs))
        return started[-1]

    yield make
    for helper in started:
        helper.sock.close()
        helper.process.kill()
        helper.process.communicate()


def test_life(start):
    helper = start(FILE)
    assert helper.first == "ok"
    messages = [
        ("on_starting",),
        ("nworkers_changed", 2, ""),
        ("pre_fork", 0, 1),
        ("forked", 0, 1, 501),
        ("pre_fork", 1, 2),
        ("forked", 1, 2, 502),
        ("when_ready",),
        ("child_exit", 0, 1, 501, -9),
        ("child_exit", 0, 7, 599, 3),
        ("workers", 4),
        ("nworkers_changed", 5, 4),
        ("on_exit",),
    ]
    for message in messages:
        assert helper.ask(*message) == "ok", message
    status, out, err = helper.end()
    assert status == 0
    assert out.splitlines() == [
        "starting True [('127.0.0.1', 80)] 2 2 api 1.5",
        "nworkers 2 None 2",
        "pre_fork [booting] 1",
        "pre_fork [booting] 2",
        "child_exit 501 1 -9 10 [502] False",
        "child_exit 599 7 3 None [502] False",
        "nworkers 5 4 5",
        "exit",
    ]
    assert err.count("\n") == 1 and "[INFO] ready 2" in err


def test_failing_hook(start):
    helper = start(FILE)
    assert helper.ask("pre_exec") == "error"
    assert helper.ask("on_exit") == "ok"
    status, out, err = helper.end()
    assert status == 0
    assert "Exception in pre_exec hook\nTraceback" in err
    assert err.endswith("ValueError: not now\n")
    assert "_master.py" not in err


def test_hook_that_is_not_defined_and_unknown_messages(start):
    helper = start("def forked(*a): 1 / 0\ndef other(*a): 1 / 0\n")
    assert helper.ask("on_starting") == "ok"
    assert helper.ask("forked", 0, 1, 500) == "ok"
    assert helper.ask("other") == "ok"
    assert helper.ask("child_exit", 0, 1, "x", 0) == "error"
    assert helper.end()[0] == 0


def test_reload_reads_the_file_again(start):
    helper = start(FILE)
    helper.ask("on_starting")
    helper.path.write_text(FILE.replace('"reload"', '"reload, new"'))
    assert helper.ask(*SETTINGS, "workers=6") == "ok"
    assert helper.ask("on_reload") == "ok"
    assert "reload, new kept 6" in helper.end()[1]


def test_reload_of_broken_file_keeps_the_old(start):
    helper = start(FILE)
    helper.ask("on_starting")
    helper.path.write_text("1 / 0\n")
    assert helper.ask(*SETTINGS) == "error"
    assert helper.ask("on_reload") == "ok"
    status, out, err = helper.end()
    assert status == 0 and "reload kept 2" in out
    assert "cwsgi: cannot read the configuration" in err


def test_broken_file_at_the_start(start):
    helper = start("def f():\n    1 / 0\nf()\n")
    assert helper.first == "error"
    assert helper.sock.recv(100) == b""
    status, _, err = helper.end()
    assert status == 1
    assert err.startswith("Traceback (most recent call last):\n")
    assert "ZeroDivisionError: division by zero" in err.splitlines()[-1]


def test_signals_are_the_supervisors(start):
    helper = start(FILE)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
        helper.process.send_signal(number)
        assert helper.ask("workers", 1) == "ok"
    assert helper.end()[0] == 0


def test_programs_that_hooks_start_have_default_signals(start):
    source = (
        "import subprocess\n"
        "def on_exit(server):\n"
        "    print(subprocess.run(['grep', 'SigIgn', '/proc/self/status'],"
        " capture_output=True, text=True).stdout)\n"
    )
    helper = start(source)
    assert helper.ask("on_exit") == "ok"
    ignored = int(helper.end()[1].split()[1], 16)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        assert not ignored & (1 << (number - 1))


def test_large_settings(start):
    entries = [f"raw_env[=KEY{i}={'x' * 50}" for i in range(900)]
    helper = start("def on_starting(server): print(len(server.cfg.env))\n", ("settings", *entries))
    assert helper.first == "ok"
    helper.ask("on_starting")
    assert helper.end()[1] == "900\n"


def test_prometheus_multiprocess(start, tmp_path):
    """What its documentation has gunicorn's users put into the file."""
    pytest.importorskip("prometheus_client")
    folder = tmp_path / "metrics"
    folder.mkdir()
    env = {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    writer = (
        "import os\n"
        "from prometheus_client import Gauge\n"
        "Gauge('busy', 'help', multiprocess_mode='livesum').set(1)\n"
        "print(os.getpid())\n"
    )
    made = subprocess.run(
        [sys.executable, "-c", writer],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=30 * SLOW,
        check=True,
    )
    pid = int(made.stdout)
    live = folder / f"gauge_livesum_{pid}.db"
    assert live.exists()
    helper = start(
        "from prometheus_client import multiprocess\n"
        "def child_exit(server, worker):\n"
        "    multiprocess.mark_process_dead(worker.pid)\n",
        **env,
    )
    assert helper.ask("forked", 0, 1, pid) == "ok"
    assert helper.ask("child_exit", 0, 1, pid, 0) == "ok"
    assert not live.exists()
    assert helper.end()[::2] == (0, "")
