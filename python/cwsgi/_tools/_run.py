"""Starts the app as the server would, in fresh processes, and looks at them."""

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from . import ToolError
from ._folder import temporary_folder
from ._sample import memory_of
from ._servers import Server, Worker, children

OBSERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_observer")
SIGNAL = signal.SIGRTMIN + 11
PATIENCE = 120.0  # seconds for a start

# Options that doctor sets itself, with the number of words that follow them.
OWN = {
    "-b": 1, "--bind": 1, "-w": 1, "--workers": 1, "-p": 1, "--pid": 1, "--error-logfile": 1,
    "--log-file": 1, "--access-logfile": 1, "-D": 0, "--daemon": 0, "--preload": 0,
    "--reload": 0, "--check-config": 0, "--print-config": 0, "--statsd-host": 1, "--syslog": 0,
    "--boot-trace": 1,
    "--capture-output": 0, "--log-level": 1, "--listen": 1,
}  # fmt: skip

SETTING = re.compile(r"^(\w+) *= (.*)  # (.*)$")


def without_own(words: list[str], own: dict[str, int] = OWN) -> list[str]:
    """Return the words of a command line without what a tool sets itself."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            return [*kept, word, *rest]
        name = word.partition("=")[0] if word.startswith("--") else word[:2]
        if not word.startswith("-") or name not in own:
            kept.append(word)
        elif own[name] and word == name:
            next(rest, None)
    return kept


class Settings:
    """What ``--print-config`` says: values as text, and where each came from."""

    def __init__(self, text: str, errors: str) -> None:
        found = [match for match in map(SETTING.match, text.splitlines()) if match]
        self.values = {match[1]: match[2] for match in found}
        self.sources = {match[1]: match[3] for match in found}
        self.notices = [
            line.partition(": ")[2]
            for line in errors.splitlines()
            if line.startswith("cwsgi: ") and " has no effect: " in line
        ]

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")

    def number(self, name: str) -> float:
        try:
            return float(self[name])
        except ValueError:
            return 0.0

    def items(self, name: str) -> list[str]:
        value = self[name]
        return [] if value in ("", "None") else [one.strip() for one in value.split(",")]

    def is_given(self, name: str) -> bool:
        return self.sources.get(name, "default") != "default"

    def is_on(self, name: str) -> bool:
        return self[name] == "True"


class NotStarted(Exception):
    """The app cannot be served: what was written to standard error."""


def read_settings(program: str, words: list[str]) -> "tuple[Settings, str | None]":
    """Return the settings, and why the app could not be imported with them, if so."""
    asked = [program, "--print-config", *(word for word in words if word != "--reload")]
    done = subprocess.run(
        asked, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, env=_environ()
    )
    errors = done.stderr.decode("utf-8", "backslashreplace")
    settings = Settings(done.stdout.decode("utf-8", "backslashreplace"), errors)
    return settings, errors if done.returncode else None


def in_place_of_files(settings: Settings) -> list[str]:
    """Return words against what a configuration file says of files that are the server's."""
    words = ["--access-logfile", "-"] if settings["accesslog"] not in ("", "None") else []
    if settings["pidfile"] not in ("", "None"):
        name = f"cwsgi-doctor-{os.getpid()}.pid"
        words += ["--pid", os.path.join(temporary_folder(), name)]
    return words


def _environ() -> dict[str, str]:
    """Return the environment, without sockets and messages that are for the server."""
    theirs = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET")
    return {name: value for name, value in os.environ.items() if name not in theirs}


class Running:
    """A server that doctor has started.

    Attributes:
        ready_s: seconds from its start until its port took connections.
        stays: one of them did not end when it was asked to.
    """

    stays = False

    def __init__(self, program: str, words: list[str], *more: str, observed: str = "") -> None:
        self.port = _free_port()
        self.output = os.memfd_create("cwsgi-doctor-output")
        environ = _environ()
        if observed:
            path = environ.get("PYTHONPATH", "")
            environ["PYTHONPATH"] = os.pathsep.join([OBSERVER, *([path] if path else [])])
            environ["PYTHONPROFILEIMPORTTIME"] = "1"
            environ["CWSGI_OBSERVED_APP"] = observed
        command = [program, "-b", f"127.0.0.1:{self.port}", "--error-logfile", "-", *more]
        began = time.monotonic()
        self.process = subprocess.Popen(
            [*command, *words],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
            env=environ,
            start_new_session=True,
        )
        try:
            self._await(began)
            self.server = Server(self.process.pid)
        except BaseException:
            self.stop()
            raise

    def _await(self, began: float) -> None:
        while not _accepts(self.port):
            if self.process.poll() is not None:
                raise NotStarted(self.text())
            if time.monotonic() - began > PATIENCE:
                raise ToolError(f"the app was not ready in {PATIENCE:g} s:\n{self.text()}")
            time.sleep(0.005)
        self.ready_s = time.monotonic() - began

    def text(self) -> str:
        size = os.fstat(self.output).st_size
        return os.pread(self.output, size, 0).decode("utf-8", "backslashreplace")

    def workers(self) -> list[Worker]:
        return self.server.workers(self.server.read())

    def await_workers(self, count: int) -> None:
        """Return when so many workers serve."""
        end = time.monotonic() + PATIENCE
        while True:
            states = [one.told.get("state") for one in self.workers()]
            if states.count(2) == count:
                return
            if time.monotonic() > end or self.process.poll() is not None:
                raise ToolError(f"{count} workers did not start:\n{self.text()}")
            time.sleep(0.02)

    def memory(self) -> tuple[int, str]:
        """Return what all processes hold in bytes, and whether that is "pss" or "rss"."""
        found = [memory_of(pid) for pid in [self.process.pid, *children(self.process.pid)]]
        kinds = {kind for _, kind in found}
        return sum(size for size, _ in found), "pss" if kinds == {"pss"} else "rss"

    def observed(self) -> dict[str, Any]:
        """Return what one worker has seen of its own start."""
        (worker, *_) = [one for one in self.workers() if one.slot >= 0]
        folder = f"/proc/{worker.pid}/fd"
        try:
            os.listdir(folder)
            os.kill(worker.pid, SIGNAL)
        except PermissionError:
            raise ToolError(
                "--user: nobody but that user, and a root who may trace processes, can look into "
                "its workers; start doctor as that user, without --user"
            ) from None
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(OSError, ValueError):
                for name in os.listdir(folder):
                    if "memfd:cwsgi-observed" in os.readlink(f"{folder}/{name}"):
                        with open(f"{folder}/{name}", "rb") as file:
                            seen: dict[str, Any] = json.load(file)
                            return seen
            time.sleep(0.02)
        raise ToolError("a worker did not say what it has seen: its app may keep signals from it")

    def stop(self) -> None:
        """End it; nothing that it says is of use any more."""
        for signum, seconds in ((signal.SIGTERM, 3), (signal.SIGQUIT, 12)):
            if self.process.poll() is None and not (Running.stays and signum == signal.SIGTERM):
                self.process.send_signal(signum)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(seconds)
                    continue
                Running.stays = True
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextlib.contextmanager
def running(program: str, words: list[str], *more: str, observed: str = "") -> Iterator[Running]:
    one = Running(program, words, *more, observed=observed)
    try:
        yield one
    finally:
        one.stop()
        os.close(one.output)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _accepts(port: int) -> bool:
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", port))
        _, ready, _ = select.select([], [sock], [], 1)
        return bool(ready) and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
