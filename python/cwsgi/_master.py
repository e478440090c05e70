"""gunicorn's hooks of the master, run in a process of their own.

The supervisor never loads Python. Where the configuration file defines one of these hooks
(on_starting, on_reload, when_ready, pre_fork, child_exit, nworkers_changed, pre_exec,
on_exit), it starts this helper and tells it what happens, over a SOCK_SEQPACKET socket. A
message is one datagram of NUL-separated words:

    settings ENTRY...           first, and again at a reload: (re)reads the file
    on_starting | on_reload | when_ready | pre_exec | on_exit
    pre_fork SLOT AGE
    forked SLOT AGE PID         no hook: the worker enters server.WORKERS
    child_exit SLOT AGE PID CODE        CODE: exit status, or minus the signal
    nworkers_changed NEW OLD    OLD empty at the start
    workers N                   no hook: server.num_workers

Each is answered, when it is done, by ``ok`` or ``error``. End of file ends the helper.
"""

import os
import signal
import sys

from ._config import load, report
from ._error_log import Log, custom_logger
from ._gunicorn_loggers import install_lazy
from ._hooks import Server, Worker
from ._settings import DEFAULT_LOGGER, HOOKS, Config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LONGEST = 1 << 18  # bytes of a datagram
# Those after which workers are started.
BEFORE_WORKERS = ("on_starting", "on_reload", "when_ready", "pre_fork")
# The supervisor gets these and says what to do.
IGNORED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGWINCH")


def main(fd: int, spec: str, folder: str = "", log: str = "-") -> int:
    """Serve the supervisor until it closes its end, and return the exit status.

    Args:
        fd: this end of the socket pair.
        spec: the configuration, as in _config.main().
        folder: where cwsgi was started: a configuration that is a module is found there.
        log: where the error log goes, by a name that only the supervisor can move.

    Returns:
        0, or 1 where the configuration cannot be read at the start.
    """
    for name in IGNORED:
        # Not SIG_IGN, which programs that a hook starts would inherit.
        signal.signal(getattr(signal, name), lambda *_: None)
    signal.signal(signal.SIGUSR1, lambda *_: _reopen())
    os.set_inheritable(fd, False)
    master = Master(spec, folder, log)
    while words := _receive(fd):
        done = master.handle(words[0], words[1:])
        _flush()
        try:
            os.write(fd, b"ok" if done else b"error")
        except OSError:
            break
        if master.server is None:
            return 1
    return 0


def _receive(fd: int) -> "list[str]":
    """Return the next message's words; none at the end."""
    try:
        data = os.read(fd, LONGEST)
    except ConnectionError:
        return []
    return data.rstrip(b"\0").decode("utf-8", "surrogateescape").split("\0") if data else []


def _flush() -> None:
    """Write what hooks have printed: nothing else would while the supervisor is quiet."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass


def _set_up() -> "dict[str, list[Any]]":
    """Return the handlers and filters that somebody has given gunicorn's loggers."""
    logging = sys.modules.get("logging")
    there = logging.root.manager.loggerDict if logging is not None else {}
    found = {}
    for name in ("gunicorn.access", "gunicorn.error"):
        logger = there.get(name)
        handlers = [h for h in getattr(logger, "handlers", ()) if not hasattr(h, "_gunicorn")]
        found[name] = [*handlers, *getattr(logger, "filters", ())]
    return found


def _reopen() -> None:
    """Have the logger of --logger-class open its files anew."""
    logger = custom_logger()
    if logger is not None:
        try:
            logger.reopen_files()
        except Exception:
            Log().exception("Log files are not reopened")


def _make_logger(cfg: Config, file: "dict[str, Any]") -> None:
    """Make the logger of --logger-class; where there is none, be ready for gunicorn's."""
    if cfg.logger_class != DEFAULT_LOGGER:
        from . import _logger_class

        if _logger_class.make(cfg, file) is not None:
            return
    elif (module := sys.modules.get("cwsgi._logger_class")) is not None:
        vars(module)["current"] = None
    # Standard error is the error log here.
    install_lazy(cfg.loglevel or "info")


class Master:
    """The hooks and the state that they see."""

    def __init__(self, spec: str, folder: str = "", log: "str | None" = None) -> None:
        self.spec, self.folder, self.log = spec, folder, log
        self.file: dict[str, Any] = {}
        self.server: Server | None = None  # None until the settings have come
        self.told: set[str] = set()  # hooks that set loggers up, and were told
        self.booting: dict[str, Worker] = {}  # by slot, from pre_fork to forked

    def handle(self, kind: str, words: "list[str]") -> bool:
        """Do what one message says and return whether that went well. Never raises."""
        if kind == "settings":
            return self._settings(words)
        if self.server is None:
            return False
        try:
            self._run(self.server, kind, words)
        except BaseException:
            self.server.log.exception("Exception in %s hook", kind)
            return False
        return True

    def _settings(self, entries: "list[str]") -> bool:
        """Read the file; what was read before stays where that fails."""
        try:
            file = load(self.spec, again=True, folder=self.folder)
            cfg = Config(entries, file)
            _make_logger(cfg, file)
        except BaseException as error:
            report(error, self.spec)
            return False
        server = Server(cfg, os.getppid())
        if self.log is not None and isinstance(server.log, Log):
            server.log.path = self.log
        if self.server is not None:
            # Hooks may keep state on the server: it is one object for the helper's life.
            self.server.cfg, self.server.log, self.server.app = cfg, server.log, server.app
        else:
            self.server = server
        self.file = file
        return True

    def _run(self, server: Server, kind: str, words: "list[str]") -> None:
        args: tuple[Any, ...] = (server,)
        if kind == "pre_fork":
            worker = self.booting[words[0]] = Worker(server, int(words[1]), "[booting]")
            args = (server, worker)
        elif kind == "forked":
            pid = int(words[2])
            # The same object, for what the hook may have kept on it.
            known = self.booting.pop(words[0], None)
            worker = known or Worker(server, int(words[1]))
            worker.place(pid)
            server.WORKERS[pid] = worker
        elif kind == "child_exit":
            pid = int(words[2])
            known = server.WORKERS.pop(pid, None)
            worker = known or Worker(server, int(words[1]), pid)
            worker.alive = False
            worker.exitcode = int(words[3])
            args = (server, worker)
        elif kind == "nworkers_changed":
            server.num_workers = int(words[0])
            args = (server, int(words[0]), int(words[1]) if words[1:] and words[1] else None)
        elif kind == "workers":
            server.num_workers = int(words[0])
        hook = self.file.get(kind) if kind in HOOKS else None
        if hook is not None:
            before = _set_up()
            hook(*args)
            if kind in BEFORE_WORKERS:
                self._tell(kind, before, server.log)

    def _tell(self, kind: str, before: "dict[str, list[Any]]", log: "Any") -> None:
        """Say, once for a hook, that what it did to a logger is done in this process alone."""
        changed = [name for name, now in _set_up().items() if now != before.get(name, [])]
        if changed and kind not in self.told:
            self.told.add(kind)
            log.warning(
                "what %s did to the logger %s does not reach workers, which are forked from "
                "another process: do it in post_fork, or outside of functions",
                kind,
                " and ".join(changed),
            )
