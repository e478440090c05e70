"""Finds running servers and their boards by what the kernel tells of processes.

Nothing that a worker can write is believed: a worker is a child of its supervisor, whatever
the board says, and text from the board is escaped before it is shown.
"""

import argparse
import contextlib
import mmap
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import _core
from . import ToolError

BOARD = "/memfd:cwsgi-board"
# csrc/base/board.h
SIGNAL_SHOW = signal.SIGRTMIN + 8
NONE, STARTING, READY, DRAINING = range(4)
STATES = {STARTING: "starting", READY: "serving", DRAINING: "draining"}
ZYGOTE = -1


def read(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


def title(pid: int) -> str:
    """Return what ``ps`` shows of a process; nothing where it is gone."""
    try:
        words = read(pid, "cmdline").rstrip(b"\0").replace(b"\0", b" ")
    except OSError:
        return ""
    return printable(words.decode("utf-8", "backslashreplace"))


def status_of(pid: int) -> dict[str, str]:
    """Return the fields of /proc/PID/status; none where the process is gone."""
    try:
        lines = read(pid, "status").decode("utf-8", "backslashreplace").splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def printable(text: str) -> str:
    """Return text without what speaks to a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\x{ord(c):02X}" for c in text)


def requests_of(slot: dict[str, Any], query: bool) -> list[str]:
    """Return what a worker's threads run, as it may be shown.

    Args:
        slot: the worker's part of the board.
        query: also what follows a question mark, where tokens may be.
    """
    lines = [str(line) for line in slot.get("running", ())]
    return [printable(line if query else line.partition("?")[0]) for line in lines]


def is_alive(pid: int) -> bool:
    state = status_of(pid).get("State", "X")
    return state[:1] not in ("X", "Z")


def pids() -> list[int]:
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def children(pid: int) -> list[int]:
    """Return the pids of a process's children, whoever started them."""
    try:
        return sorted(int(word) for word in read(pid, f"task/{pid}/children").split())
    except OSError:
        # A kernel without that file.
        return [one for one in pids() if status_of(one).get("PPid") == str(pid)]


# ---- which server ----


def supervisors() -> list[int]:
    """Return the pids of all servers that this process can see."""
    return [pid for pid in pids() if title(pid).startswith("cwsgi: supervisor")]


def pid_of(text: str | None) -> int:
    """Return the process that is meant: a pid, a pid file, or the only server that runs.

    Raises:
        ToolError: saying what is wrong.
    """
    if text is None:
        found = supervisors()
        if len(found) == 1:
            return found[0]
        if not found:
            raise ToolError("no cwsgi runs here (that this user can see)")
        lines = "".join(f"\n  {pid}  {title(pid)}" for pid in found)
        raise ToolError(f"several servers run here; name one by its pid:{lines}")
    if text.isdigit():
        pid = int(text)
    else:
        try:
            # A device or a pipe of that name may have no end, or no begin.
            fd = os.open(text, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            try:
                word = os.read(fd, 32).strip()
            finally:
                os.close(fd)
        except OSError as error:
            raise ToolError(f"{printable(text)}: {error.strerror}") from None
        if not word.isdigit():
            raise ToolError(f"{printable(text)} is no pid file: it has no number")
        pid = int(word)
    if not is_alive(pid):
        raise ToolError(f"no process {pid} runs here")
    return pid


def seconds(text: str) -> float:
    """Return how long an option says to wait.

    Raises:
        argparse.ArgumentTypeError: nobody would wait so long, or it is no number.
    """
    value = float(text)
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError("from 0.1 to 3600 seconds")
    return value


def _owner(pid: int) -> str:
    import pwd

    try:
        uid = os.stat(f"/proc/{pid}").st_uid
        return pwd.getpwuid(uid).pw_name
    except (OSError, KeyError):
        return "another user"


def _board_file(pid: int) -> str | None:
    """Return the path of a supervisor's board, None where it has none.

    Raises:
        PermissionError: another user's process.
    """
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        with contextlib.suppress(OSError):
            if os.readlink(f"{folder}/{name}").startswith(BOARD):
                return f"{folder}/{name}"
    return None


class Worker:
    """A worker, or a process that preloads: a child of the supervisor.

    Attributes:
        pid: as this process sees it.
        slot: its place on the board, ZYGOTE for a process that preloads.
        told: what the board says of it; nothing of a process that preloads.
    """

    def __init__(self, pid: int, slot: int, told: dict[str, Any]) -> None:
        self.pid, self.slot, self.told = pid, slot, told

    def __str__(self) -> str:
        if self.slot == ZYGOTE:
            return f"preloading process (pid {self.pid})"
        state = STATES.get(self.told["state"], "starting")
        return f"worker {self.slot + 1} (pid {self.pid}), {state}"

    def answers(self) -> bool:
        """Return whether it has a handler for the question: without, that would end it."""
        caught = int(status_of(self.pid).get("SigCgt", "0"), 16)
        return bool(caught >> (SIGNAL_SHOW - 1) & 1)


class Server:
    """A running server: its supervisor's pid, and its board."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.began = self._began()
        try:
            path = _board_file(pid)
            # Others read and write the same file, each with a lock of its own.
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC) if path else -1
        except (PermissionError, FileNotFoundError) as error:
            if isinstance(error, FileNotFoundError) and not is_alive(pid):
                raise ToolError(f"process {pid} has just ended") from None
            raise ToolError(
                f"process {pid} is {_owner(pid)}'s: only that user, with the same rights, "
                "and root may look into it"
            ) from None
        if fd < 0:
            raise ToolError(
                f"process {pid} is no cwsgi, or one older than this: {title(pid) or 'no title'}"
            )
        self.fd = fd
        self.memory = mmap.mmap(fd, os.fstat(fd).st_size)
        self.read()

    def _began(self) -> bytes:
        """Return when the process began: a pid is given again."""
        try:
            return read(self.pid, "stat").rpartition(b")")[2].split()[19]
        except (OSError, IndexError):
            return b""

    def runs(self) -> bool:
        return is_alive(self.pid) and self._began() == self.began

    def read(self) -> dict[str, Any]:
        """Return what is on the board.

        Raises:
            ToolError: it is one of another version.
        """
        try:
            return _core._board_read(self.memory)
        except ValueError as error:
            found = printable(str(error))
            raise ToolError(
                f"process {self.pid} has {found}: use the cwsgi that it was started with"
            ) from None

    def workers(self, board: dict[str, Any]) -> list[Worker]:
        """Return the children of the supervisor that are workers, and those that preload."""
        slots = {one["pid"]: one for one in board["slots"] if one["pid"] > 0}
        found = []
        for pid in children(self.pid):
            status = status_of(pid)
            if status.get("State", "X")[:1] in ("X", "Z"):
                continue
            # The board's pids are of the supervisor's own namespace.
            inner = int((status.get("NSpid") or str(pid)).split()[-1])
            if inner in slots:
                told = slots[inner]
                found.append(Worker(pid, told["slot"], told))
            elif title(pid).startswith(("cwsgi: preload",)):
                found.append(Worker(pid, ZYGOTE, {}))
        return sorted(found, key=lambda one: one.slot)


def server_and_worker(text: str | None) -> tuple[Server, int | None]:
    """Return the server that is meant, and of a worker's pid that as well.

    Raises:
        ToolError: saying what is wrong.
    """
    pid = pid_of(text)
    parent = status_of(pid).get("PPid", "0")
    # Titles are theirs to choose; whether the parent has a board is not.
    if title(pid).startswith(("cwsgi: worker", "cwsgi: preload")) and parent != "0":
        return Server(int(parent)), pid
    return Server(pid), None


def send(worker: Worker, parent: int, number: int) -> None:
    """Send a signal to a worker that is still that child.

    Raises:
        ToolError: it has gone, or may not be signalled.
    """
    with contextlib.ExitStack() as stack:
        pidfd = -1
        try:
            # Its number may be another's by the time that the signal is sent.
            pidfd = os.pidfd_open(worker.pid)
            stack.callback(os.close, pidfd)
        except (OSError, AttributeError):
            pass
        if status_of(worker.pid).get("PPid") != str(parent):
            raise ToolError(f"{worker} has just ended")
        try:
            if pidfd >= 0:
                signal.pidfd_send_signal(pidfd, number)
            else:
                os.kill(worker.pid, number)
        except ProcessLookupError:
            raise ToolError(f"{worker} has just ended") from None
        except PermissionError:
            raise ToolError(f"{worker} takes no signals from this user") from None


@contextlib.contextmanager
def locked(fd: int) -> Iterator[None]:
    """One tool at a time asks."""
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ToolError("somebody else asks this server at the moment: try again") from None
    try:
        yield
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)
