"""Starts cwsgi for a test and proves afterwards that it left nothing behind."""

import ctypes
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest
from client import SLOW, Client, request, wait_for

APPS = Path(__file__).resolve().parent / "apps"

# Words that never belong in a log, whatever the test did.
ALARMS = (
    "Assertion `",
    "Assertion '",
    "Assertion failed",
    "assertion failed",
    "AddressSanitizer",
    "LeakSanitizer",
    "ThreadSanitizer",
    "runtime error:",
    "Fatal Python error",
    "Segmentation",
    "Iterator garbage collected without being closed",
)

# Variables of the caller that would change what the server does.
DROPPED = ("PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "K_SERVICE", "SCRIPT_NAME", "SENDFILE")
DROPPED_PREFIXES = ("PYTHON", "GUNICORN_", "LISTEN_", "NOTIFY_")

LIVE = []

SANITIZE = os.environ.get("CWSGI_SANITIZE", "")
TSAN = SANITIZE == "thread"

# Growth in bytes that is none; a sanitizer's quarantine and shadow are not ours.
FLAT = (12 << 20) if SANITIZE else 1 << 20

# TSan's runtime has to be there from the start, and is so only for program().
no_tsan = pytest.mark.skipif(TSAN, reason="a process that is started without TSan's runtime")

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def tied_to_this_process():
    """Run in the child: a server ends with the process of its test, however that ends."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def program():
    """The command under test: $CWSGI_BIN, or the cwsgi beside this interpreter."""
    chosen = os.environ.get("CWSGI_BIN")
    return shlex.split(chosen) if chosen else [str(Path(sys.executable).with_name("cwsgi"))]


def clean_env(extra=None):
    env = {
        key: value
        for key, value in os.environ.items()
        if key not in DROPPED and not key.startswith(DROPPED_PREFIXES)
    }
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    env.update(extra or {})
    return {key: str(value) for key, value in env.items() if value is not None}


def unused():
    """A socket bound to a port that nothing has on any address, of both families."""
    for host in ("::", "0.0.0.0"):
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            if ":" in host:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind((host, 0))
            return sock
        except OSError:  # no IPv6 here
            sock.close()
    raise OSError("no port is free")


class Port:
    """A free TCP port, kept free: the socket stays bound but never listens.

    Linux lets a second socket bind the same address when both have SO_REUSEADDR and none
    listens, and hands the port to nobody else meanwhile. Connecting to it is refused. No
    socket has it on another address either, which a server on all addresses could not take.
    """

    def __init__(self, host="127.0.0.1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with unused() as everywhere:
            self.sock.bind((host, everywhere.getsockname()[1]))
        self.host, self.number = host, self.sock.getsockname()[1]

    def __str__(self):
        return f"[{self.host}]:{self.number}" if ":" in self.host else f"{self.host}:{self.number}"

    def connect(self):
        sock = socket.socket(self.sock.family, socket.SOCK_STREAM)
        try:
            sock.settimeout(20 * SLOW)
            sock.connect((self.host, self.number))
        except BaseException:
            sock.close()
            raise
        return sock

    def refuses(self):
        try:
            self.connect().close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:  # The listening socket was closed at this very moment.
            pass
        return False

    def close(self):
        self.sock.close()


class UnixPath:
    """A unix socket address in the test's own folder."""

    def __init__(self, path):
        self.path = str(path)

    def __str__(self):
        return f"unix:{self.path}"

    def connect(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(20 * SLOW)
            sock.connect(self.path)
        except BaseException:
            sock.close()
            raise
        return sock

    def close(self):
        pass


class ServerFailed(AssertionError):
    pass


class Server:
    """A running cwsgi in its own session, folder and port. Use the `serve` fixture.

    `app` None leaves the app reference out; `workers` or `threads` None leave the option out.
    """

    def __init__(
        self,
        folder,
        app,
        *options,
        workers=1,
        threads=8,
        binds=None,
        env=None,
        chdir=APPS,
        command=None,
        preexec=None,
        wait=True,
        bind_options=True,
    ):
        self.folder = Path(folder)
        self.state = self.folder / "state"
        self.state.mkdir(parents=True)
        self.binds = binds or [Port()]
        self.tag = uuid.uuid4().hex
        self.env = clean_env(
            {"CWSGI_TEST_DIR": self.state, "CWSGI_TEST_TAG": self.tag, **(env or {})}
        )
        self.command = list(command or program())
        for bind in self.binds if bind_options else []:
            self.command += ["-b", str(bind)]
        if workers is not None:
            self.command += ["-w", str(workers)]
        if threads is not None:
            self.command += ["--threads", str(threads)]
        if chdir is not None:
            self.command += ["--chdir", str(chdir)]
        self.command += [str(option) for option in options]
        if app is not None:
            self.command.append(app)
        self.clients = []
        self.expected_exit = {0}  # None: any
        self.check_connections = True
        self.check_zombies = True  # not where the app leaves its own children unreaped
        self.stderr_path = self.folder / "stderr.log"
        with open(self.stderr_path, "wb") as err, open(self.folder / "stdout.log", "wb") as out:
            self.proc = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=tied_to_this_process if preexec is None else preexec,
            )
        self.pid = self.proc.pid
        LIVE.append(self)
        if wait:
            self.wait_ready()

    # Waiting and looking.

    def wait_ready(self, timeout=20.0):
        for bind in self.binds:
            wait_for(
                lambda bind=bind: self._accepts(bind),
                lambda bind=bind: f"{bind} to accept\n{self.report()}",
                timeout,
            )

    def _accepts(self, bind):
        if self.proc.poll() is not None:
            raise ServerFailed(f"server ended with {self.proc.returncode}\n{self.log()}")
        try:
            bind.connect().close()
        except OSError:
            return False
        return True

    def log(self):
        return self.stderr_path.read_text("utf-8", "backslashreplace")

    def stdout(self):
        return (self.folder / "stdout.log").read_text("utf-8", "backslashreplace")

    def wait_log(self, text, timeout=10.0):
        wait_for(lambda: text in self.log(), f"{text!r} in the log", timeout)

    def workers(self):
        """Processes that are the supervisor's children and alive."""
        return [p for p in psutil.Process(self.pid).children() if _alive(p)]

    def worker(self):
        (worker,) = self.workers()
        return worker

    def members(self):
        """Pids of the server's session or carrying its tag, zombies included."""
        found = []
        tag = f"CWSGI_TEST_TAG={self.tag}".encode()
        for pid in psutil.pids():
            try:
                if os.getsid(pid) == self.pid or tag in Path(f"/proc/{pid}/environ").read_bytes():
                    found.append(pid)
            except OSError:
                pass
        return found

    # Talking to the app, beside HTTP: files in the state folder (apps/common.py).

    def open_gate(self, name):
        (self.state / f"gate-{name}").touch()

    def marks(self, name):
        try:
            return (self.state / f"mark-{name}").read_text().splitlines()
        except FileNotFoundError:
            return []

    def wait_marks(self, name, count=1, timeout=10.0):
        wait_for(lambda: len(self.marks(name)) >= count, f"{count} marks {name!r}", timeout)
        return self.marks(name)

    # Requests.

    def connect(self, bind=0, **options):
        client = Client(self.binds[bind].connect(), **options)
        self.clients.append(client)
        return client

    def request(self, path, method="GET", headers=(), body=None, version="1.1"):
        with self.connect() as client:
            client.send(request(path, method, headers, body, version))
            return client.response(method)

    def get(self, path, headers=()):
        return self.request(path, headers=headers)

    def post(self, path, body, headers=()):
        return self.request(path, "POST", headers, body)

    def url(self, path=""):
        return f"http://{self.binds[0]}{path}"

    # The end.

    def send_signal(self, number):
        os.kill(self.pid, number)

    def wait_exit(self, timeout=15.0):
        """The exit status; negative for a signal."""
        return self.proc.wait(timeout * SLOW)

    def stop(self, number=signal.SIGTERM, timeout=15.0):
        self.send_signal(number)
        return self.wait_exit(timeout)

    def lingering(self):
        """Connections of the workers that the test has closed on its side."""
        ports = {bind.number for bind in self.binds if isinstance(bind, Port)}
        found = []
        for process in self.workers():
            try:
                found += [
                    c
                    for c in process.net_connections("tcp")
                    if c.status != psutil.CONN_LISTEN and c.laddr.port in ports
                ]
            except psutil.Error:
                pass
        return found

    def finish(self):
        """Ends the server and asserts that it ended well. Called once, by the fixture."""
        try:
            (self.state / "all-gates").touch()
            for client in self.clients:
                client.close()
            if self.proc.poll() is None:
                if self.check_zombies:
                    wait_for(lambda: not self._zombies(), "zombies to be reaped", 5)
                if self.check_connections:
                    wait_for(lambda: not self.lingering(), "closed connections to be let go", 5)
                self.stop()
            if self.expected_exit is not None:
                assert self.proc.returncode in self.expected_exit, self.proc.returncode
            wait_for(lambda: not self.members(), "the last process to end", 5)
            for alarm in ALARMS:
                assert alarm not in self.log(), f"{alarm!r} in the log"
        except BaseException as error:
            raise ServerFailed(f"{error!r}\n{self.report()}") from error
        finally:
            self._kill()
            LIVE.remove(self)
            for bind in self.binds:
                bind.close()

    def _zombies(self):
        try:
            family = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [p.pid for p in family if not _alive(p)]

    def _kill(self):
        for pid in self.members():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.proc.wait()

    def report(self):
        family = [_describe(pid) for pid in self.members()]
        log = self.log()
        if len(log) > 20000:
            log = log[:10000] + "\n[...]\n" + log[-10000:]
        return "\n".join(
            [
                shlex.join(self.command),
                *family,
                "-- stderr:",
                log,
                "-- stdout:",
                self.stdout()[-4000:],
            ]
        )


def in_read_only_root(folder):
    """The words before a command that runs it in `folder` on a root that nobody can write to,
    /tmp neither; None without the right to mount."""
    if os.getuid() != 0 or not shutil.which("unshare"):
        return None
    mounts = "mount --make-rprivate / && mount --bind / /mnt && mount -o remount,ro,bind /mnt"
    mounts += " && mount --bind /proc /mnt/proc && mount --rbind /dev /mnt/dev"
    words = ["unshare", "-m", "sh", "-c"]
    if subprocess.run([*words, mounts], capture_output=True).returncode:
        return None
    enter = f'cd {shlex.quote(str(folder))} && exec "$@"'
    return [*words, f"{mounts} && exec chroot /mnt sh -c '{enter}' sh \"$@\"", "sh"]


def run(*args, env=None, cwd=None, timeout=20.0, command=None):
    """Runs the program to its end and returns the CompletedProcess, output as text."""
    return subprocess.run(
        [*(command or program()), *map(str, args)],
        env=clean_env(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=timeout * SLOW,
    )


def descriptors(pid):
    """What the process has open, one /proc link a descriptor."""
    links = []
    for entry in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{pid}/fd/{entry}"))
        except FileNotFoundError:  # Closed meanwhile.
            pass
    return links


def rss(process):
    """Private and shared memory in use, in bytes."""
    return psutil.Process(getattr(process, "pid", process)).memory_info().rss


def titled(server, word):
    """The supervisor's children whose title says what they are."""
    found = []
    for process in server.workers():
        try:
            title = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if title.startswith(f"cwsgi: {word}"):
            found.append(process)
    return found


def worker_pids(server):
    return {process.pid for process in titled(server, "worker")}


def assert_flat_rss(process, turn, most=FLAT, turns=4):
    """Asserts that `turn()` takes no more than `most` bytes of the process's memory.

    An allocator's heaps reach their size sooner or later, depending on which thread gets
    which request; what leaks grows in every turn. So one turn without growth is enough.
    """
    sizes = [rss(process)]
    while len(sizes) < 2 or sizes[-1] - sizes[-2] >= most:
        assert len(sizes) <= turns, sizes
        turn()
        sizes.append(rss(process))


def timed(call, *args, **kwargs):
    start = time.monotonic()
    value = call(*args, **kwargs)
    return value, time.monotonic() - start


def _alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _describe(pid):
    try:
        process = psutil.Process(pid)
        return f"{pid} (parent {process.ppid()}) {process.status()} {shlex.join(process.cmdline())}"
    except psutil.Error:
        return f"{pid} gone"
