"""``--reload``: notices that a file of the app has changed. For development.

Watched are the source of every imported module, those that are imported later too, and the
extra files and folders. With inotify folders are watched, not files: an editor that saves by
renaming a new file over the old one is seen as well.
"""

import os
import stat
import sys
from threading import Thread
from time import sleep, time_ns

from ._error_log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Signature = tuple[int, int, int]

PERIOD = 1.0  # seconds between two looks at what is new, and at everything when polling
SETTLED = 0.05  # a file that stays the same this long is written
GONE = 1.0  # one that is missing this long is deleted

# <sys/inotify.h>
IN_CLOEXEC, IN_NONBLOCK = 0o2000000, 0o4000
IN_MODIFY, IN_ATTRIB, IN_CLOSE_WRITE = 0x2, 0x4, 0x8
IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE = 0x40, 0x80, 0x100, 0x200
IN_Q_OVERFLOW, IN_ONLYDIR = 0x4000, 0x1000000
CHANGES = (
    IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE
)
EVENT_HEADER = 16


def start(engine: str, extra: "list[str]", callback: "Callable[[str], object]") -> "Watcher":
    """Start to watch, in a daemon thread.

    Args:
        engine: ``auto`` or ``inotify``, which poll where inotify cannot be had, or ``poll``.
        extra: files and folders (with all below them) to watch beside the modules.
        callback: called in the thread with the path of a file that has changed, once for
            all files that change together, when the last is written. Watching goes on: a
            reload that fails leaves this process serving until the next change.

    Returns:
        The thread; its stop() ends it early.
    """
    log = Log()
    inotify = None
    if engine != "poll":
        try:
            inotify = Inotify()
        except (OSError, AttributeError, ImportError) as error:
            log.info("reload: inotify cannot be used (%s); polling", error)
    watcher = Watcher(extra, callback, inotify, log)
    # Looked at now: what changes from here on is noticed.
    watcher.update()
    watcher.start()
    return watcher


def signature(path: str) -> "Signature | None":
    """Return what changes with a file's content; None where there is no such file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def identity(folder: str) -> "tuple[int, int] | None":
    """Return what tells a folder from another of the same name; None where there is none."""
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def module_files() -> "Iterator[str]":
    for module in list(sys.modules.values()):
        # Not getattr(): a module may import something when it is asked for a name.
        path = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(path, str):
            yield os.path.abspath(path[:-1] if path.endswith((".pyc", ".pyo")) else path)


def extra_files(extra: "list[str]") -> "Iterator[str]":
    for path in extra:
        path = os.path.abspath(path)
        if not os.path.isdir(path):
            yield path
        for folder, below, names in os.walk(path):
            below[:] = [name for name in below if name != "__pycache__" and name[0] != "."]
            yield from (os.path.join(folder, name) for name in names)


def sources(folder: str) -> "Iterator[str]":
    """Yield Python's files below a folder, but for hidden folders and installed packages.

    Links are followed, each folder once.
    """
    seen = set()
    for parent, below, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        below[:] = [
            name
            for name in below
            if name not in ("__pycache__", "site-packages", "node_modules") and name[0] != "."
        ]
        yield from (os.path.join(parent, name) for name in names if name.endswith(".py"))


def app_folders(folder: str) -> "Iterator[str]":
    """Yield where an app may be: `folder`, and what sys.path has beside installed packages."""
    if folder:
        yield folder
    python = tuple(os.path.join(prefix, "lib") for prefix in (sys.prefix, sys.base_prefix))
    for path in map(os.path.abspath, filter(None, sys.path)):
        packages = {"site-packages", "dist-packages"} & set(path.split(os.sep))
        if path != os.sep and not packages and not path.startswith(python):
            yield path


def await_change(extra: "list[str]", folder: str, began: int) -> None:
    """Wait, for an app that cannot be imported, until one of its files changes, comes or goes.

    Which files are its own is not known yet: all of Python's below app_folders() count, what
    was imported, and `extra`.

    Args:
        extra: files and folders to watch beside them.
        folder: the present one, before the app could change it; "" where it is unknown.
        began: when the import began, in ns since the epoch. A file that was written since
            then has changed: half of it may be what was imported.
    """

    def look() -> "dict[str, Signature | None]":
        paths = {*module_files(), *extra_files(extra)}
        paths.update(*(sources(one) for one in folders))
        return {path: signature(path) for path in paths}

    log = Log()
    folders = sorted(set(app_folders(folder)))
    # The present folder may be another one by now, or none.
    extra = [os.path.join(folder, path) for path in extra]
    before = look()
    log.info("Waiting for a change of the app's files (--reload)")
    # One that is dated into the future says nothing.
    changed = sorted(path for path, it in before.items() if it and began <= it[0] <= time_ns())
    while (now := look()) == before and not changed:
        sleep(PERIOD / 4)
    changed += sorted(path for path, _ in set(now.items()) ^ set(before.items()))
    sleep(SETTLED)
    while (again := look()) != now:
        now = again
        sleep(SETTLED)
    log.info("%s has changed: starting again", changed[0])


class Inotify:
    """Watches folders. Not thread-safe."""

    def __init__(self) -> None:
        """Raises OSError where the kernel refuses."""
        import ctypes

        self._libc = ctypes.CDLL(None, use_errno=True)
        self._errno = ctypes.get_errno
        self.fd: int = self._libc.inotify_init1(IN_CLOEXEC | IN_NONBLOCK)
        if self.fd < 0:
            raise OSError(self._errno(), os.strerror(self._errno()))
        # By the kernel's number; a folder with several names has one.
        self._names: dict[int, set[str]] = {}
        self.folders: dict[str, tuple[int, int]] = {}  # device and inode

    def watch(self, folder: str) -> bool:
        """Return whether the folder is watched; not where it does not exist.

        Raises OSError for anything else, such as too many watches.
        """
        number = self._libc.inotify_add_watch(self.fd, os.fsencode(folder), CHANGES | IN_ONLYDIR)
        if number >= 0:
            self._names.setdefault(number, set()).add(folder)
            # Where it was replaced at this very moment, forget_replaced() notices later.
            self.folders[folder] = identity(folder) or (0, 0)
            return True
        error = OSError(self._errno(), os.strerror(self._errno()), folder)
        if isinstance(error, (FileNotFoundError, NotADirectoryError, PermissionError)):
            return False
        raise error

    def forget_replaced(self) -> "set[str]":
        """Stop watching folders that are no longer what their names lead to; return them."""
        replaced = {name for name, known in self.folders.items() if identity(name) != known}
        for name in replaced:
            del self.folders[name]
        for number, names in list(self._names.items()):
            names -= replaced
            if not names:
                self._libc.inotify_rm_watch(self.fd, number)
                del self._names[number]
        return replaced

    def read(self, seconds: float) -> "set[str] | None":
        """Wait at most so long and return the paths that something happened to.

        None means that events were lost: anything may have changed.
        """
        import select

        if not select.select([self.fd], [], [], seconds)[0]:
            return set()
        paths: set[str] = set()
        lost = False
        data = os.read(self.fd, 1 << 16)
        while data:
            number, mask = (int.from_bytes(data[i : i + 4], sys.byteorder) for i in (0, 4))
            end = EVENT_HEADER + int.from_bytes(data[12:16], sys.byteorder)
            name, data = data[EVENT_HEADER:end].rstrip(b"\0"), data[end:]
            lost = lost or bool(mask & IN_Q_OVERFLOW)
            for folder in self._names.get(number, ()):
                paths.add(os.path.join(folder, os.fsdecode(name)))
        return None if lost else paths

    def close(self) -> None:
        os.close(self.fd)


class Watcher(Thread):
    """The thread. Its state is its own once it runs."""

    def __init__(
        self,
        extra: "list[str]",
        callback: "Callable[[str], object]",
        inotify: "Inotify | None",
        log: Log,
    ) -> None:
        super().__init__(name="cwsgi-reload", daemon=True)
        self.extra = extra
        self.callback = callback
        self.inotify = inotify
        self.log = log
        self.known: dict[str, Signature | None] = {}
        self.stopped = False

    def stop(self) -> None:
        """Have the thread end within PERIOD without calling back."""
        self.stopped = True

    def run(self) -> None:
        while not self.stopped:
            changed = self.wait()
            if changed is not None and self.settle(changed):
                self.callback(changed)
        if self.inotify is not None:
            self.inotify.close()

    def wait(self) -> "str | None":
        """Wait at most PERIOD and return a file that has changed, or None."""
        suspects: set[str] | None = None
        if self.inotify is None:
            sleep(PERIOD)
        else:
            suspects = self.inotify.read(PERIOD)
        # A file that becomes known only now may be the one that was just written: it is
        # compared with nothing, and what was imported is what is there.
        fresh = self.update()
        if suspects is not None and self.inotify is not None:
            suspects |= fresh
        for path in list(self.known) if suspects is None else suspects & self.known.keys():
            if signature(path) != self.known[path]:
                return path
        return None

    def update(self) -> "set[str]":
        """Learn of new files. Returns those whose folders were not watched all the time."""
        for path in (*module_files(), *extra_files(self.extra)):
            if path not in self.known:
                self.known[path] = signature(path)
        if self.inotify is None:
            return set()
        replaced = self.inotify.forget_replaced()
        by_folder: dict[str, set[str]] = {}
        for path in self.known:
            by_folder.setdefault(os.path.dirname(path), set()).add(path)
        fresh: set[str] = set().union(*(by_folder[folder] for folder in replaced))
        try:
            for folder in by_folder.keys() - self.inotify.folders.keys():
                if self.inotify.watch(folder):
                    fresh |= by_folder[folder]
        except OSError as error:
            self.log.info("reload: inotify cannot be used (%s); polling", error)
            self.inotify.close()
            self.inotify = None
        return fresh

    def settle(self, path: str) -> bool:
        """Wait until all files have stayed the same for a while. Returns False if stopped.

        A file that is missing may be about to come back: `path` is waited for.
        """
        missing = 0.0
        while not self.stopped:
            sleep(SETTLED)
            now = {known: signature(known) for known in self.known}
            settled, self.known = now == self.known, now
            missing = missing + SETTLED if now[path] is None else 0.0
            if settled and (missing == 0.0 or missing >= GONE):
                return True
        return False
