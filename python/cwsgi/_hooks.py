"""gunicorn's hooks in workers, and the objects that all hooks are called with.

Imported by a worker only if the configuration file defines a hook.
"""

import os
from itertools import count

from ._config import load
from ._error_log import Log, custom_logger, unquoted
from ._settings import HOOKS, Config, takes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn

    Headers = list[tuple[str, str]]


class Application:
    """``worker.app`` and ``server.app``."""

    def __init__(self, cfg: Config, log: "Any") -> None:
        self.cfg = cfg
        self.logger = log
        self.callable: Any = None  # the app itself, once it is imported

    def wsgi(self) -> "Any":
        """Return the app. Raises RuntimeError before it is imported."""
        if self.callable is None:
            raise RuntimeError("the app is not imported yet")
        return self.callable


_ELSEWHERE = (
    "what hooks of the master (pre_fork, on_starting, ...) set on it stays in their process, "
    "and does not reach the workers"
)


class Server:
    """``server``: what gunicorn calls its arbiter."""

    def __getattr__(self, name: str) -> "NoReturn":
        raise AttributeError(f"server has no attribute {name!r}: {_ELSEWHERE}")

    def __init__(self, cfg: Config, pid: "int | None" = None) -> None:
        """Make the object.

        Args:
            cfg: the settings.
            pid: the supervisor's process id; None where the parent process is it, always.
        """
        self._pid = pid
        self.cfg = cfg
        self.log: Any = custom_logger() or Log(cfg.loglevel or "info", cfg.errorlog)
        self.app = Application(cfg, self.log)
        self.num_workers: int = cfg.workers
        self.WORKERS: dict[int, Worker] = {}

    @property
    def pid(self) -> int:
        return os.getppid() if self._pid is None else self._pid

    @property
    def address(self) -> "list[Any]":
        return self.cfg.address

    @property
    def timeout(self) -> "int | float":
        seconds: int | float = self.cfg.timeout
        return seconds

    @property
    def proc_name(self) -> str:
        return self.cfg.proc_name


class Worker:
    """``worker``. Hooks may keep attributes of their own on it, within one process."""

    def __getattr__(self, name: str) -> "NoReturn":
        raise AttributeError(f"worker has no attribute {name!r}: {_ELSEWHERE}")

    def __init__(self, server: Server, age: int = 0, pid: "int | str | None" = None) -> None:
        """Make the object.

        Args:
            server: the server it belongs to.
            age: how many workers were started before it, and itself.
            pid: its process id; None: it is this process.
        """
        self._server = server
        self._pid = pid
        self.age = age
        self.app = server.app
        self.cfg = server.cfg
        self.log = server.log
        self.timeout = server.timeout
        self.alive = True
        self.booted = False
        self.aborted = False
        self.nr = 0  # requests so far
        self.exitcode: int | None = None  # for child_exit: status, or minus the signal

    def place(self, pid: int) -> None:
        """Give it the process that it has got."""
        self._pid = pid

    @property
    def pid(self) -> "int | str":
        """The process id, or "[booting]" before there is a process, as in gunicorn."""
        return os.getpid() if self._pid is None else self._pid

    @property
    def ppid(self) -> int:
        return self._server.pid

    @property
    def wsgi(self) -> "Any":
        return self.app.callable

    def __str__(self) -> str:
        return f"<Worker {self.pid}>"


class Request:
    """``req``: a request as gunicorn's parser has it, read from a copy of its environ.

    What a hook sets counts: put() carries it over to the app's environ. Attributes of other
    names can be set as well, for post_request.
    """

    headers: "Headers"

    def __init__(self, environ: "dict[str, Any]") -> None:
        self._environ = environ.copy()

    def __getattr__(self, name: str) -> "Any":
        """Read what no hook has set. Headers stay, since hooks change them in place."""
        reader = _READERS.get(name)
        if reader is None:
            raise AttributeError(f"a request has no attribute {name!r}")
        value = reader(self)
        if name == "headers":
            self.headers = value
        return value

    def put(self, environ: "dict[str, Any]") -> None:
        """Carry over to `environ` what a hook has set or changed."""
        for name in vars(self).keys() & _WRITERS.keys():
            _WRITERS[name](self, environ)

    def _put_headers(self, environ: "dict[str, Any]") -> None:
        before = _headers_of(self._environ)
        if self.headers == before:
            return
        for name, _ in before:
            environ.pop(_key(name), None)
        new: dict[str, str] = {}
        for name, value in self.headers:
            key = _key(name)
            new[key] = f"{new[key]},{value}" if key in new else value
        environ.update(new)

    def _put_path(self, environ: "dict[str, Any]") -> None:
        """Set PATH_INFO below the app's prefix; a path outside of that stands alone."""
        path = unquoted(self.path)
        prefix = environ.get("SCRIPT_NAME", "")
        if prefix and path != prefix and not path.startswith(prefix + "/"):
            environ["SCRIPT_NAME"] = prefix = ""
        environ["PATH_INFO"] = path[len(prefix) :]

    def _put_uri(self, environ: "dict[str, Any]") -> None:
        environ["RAW_URI"] = environ["REQUEST_URI"] = self.uri

    def _put_version(self, environ: "dict[str, Any]") -> None:
        environ["SERVER_PROTOCOL"] = "HTTP/{}.{}".format(*self.version)

    def _path(self) -> str:
        """Return the target's path, not decoded."""
        target = str(self.uri).partition("#")[0].partition("?")[0]
        if target.startswith("/") or "://" not in target:
            return target
        _, slash, path = target.partition("://")[2].partition("/")
        return slash + path

    def _version(self) -> "tuple[int, int]":
        major, _, minor = self._environ["SERVER_PROTOCOL"].rpartition("/")[2].partition(".")
        return int(major), int(minor or 0)

    def _client(self) -> "tuple[str, int] | str":
        """Return (address, port); port 0 where only a proxy knows it. "": unknown."""
        host = self._environ.get("REMOTE_ADDR", "")
        port = str(self._environ.get("REMOTE_PORT", ""))
        return (host, int(port) if port.isdigit() else 0) if host else ""


_READERS: "dict[str, Callable[[Request], Any]]" = {
    # Pairs of upper-case name and value.
    "headers": lambda req: _headers_of(req._environ),
    "method": lambda req: req._environ.get("REQUEST_METHOD", ""),
    "uri": lambda req: req._environ.get("RAW_URI", ""),
    "path": Request._path,
    "query": lambda req: req._environ.get("QUERY_STRING", ""),
    "fragment": lambda req: req.uri.partition("#")[2],
    "version": Request._version,
    "scheme": lambda req: req._environ["wsgi.url_scheme"],
    "remote_addr": Request._client,
    "peer_addr": Request._client,
    "body": lambda req: req._environ["wsgi.input"],
    "trailers": lambda req: [],
}


def _sets(name: str, key: str) -> "Callable[[Request, dict[str, Any]], None]":
    """Return what carries the attribute `name` over to the environ's `key`."""

    def put(req: Request, environ: "dict[str, Any]") -> None:
        environ[key] = getattr(req, name)

    return put


_WRITERS: "dict[str, Callable[[Request, dict[str, Any]], None]]" = {
    "headers": Request._put_headers,
    "path": Request._put_path,
    "uri": Request._put_uri,
    "version": Request._put_version,
    "method": _sets("method", "REQUEST_METHOD"),
    "query": _sets("query", "QUERY_STRING"),
    "scheme": _sets("scheme", "wsgi.url_scheme"),
    "body": _sets("body", "wsgi.input"),
}


def _headers_of(environ: "dict[str, Any]") -> "Headers":
    return [
        (key.removeprefix("HTTP_").replace("_", "-"), value)
        for key, value in environ.items()
        if key.startswith("HTTP_") or (key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value)
    ]


def _key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


class Response:
    """``resp``: what was answered. Status and headers are None and [] where nothing was."""

    sent = 0  # bytes of the body; known to access() of a logger

    def __init__(self, req: Request, status: "str | None", headers: "Headers | None") -> None:
        self.req = req
        self.status = status
        self.headers: Headers = headers or []
        self.headers_sent = status is not None

    @property
    def response_length(self) -> "int | None":
        """The Content-Length that was announced."""
        for name, value in self.headers:
            if name.lower() == "content-length" and value.isdigit():
                return int(value)
        return None

    @property
    def status_code(self) -> "int | None":
        text = (self.status or "").partition(" ")[0]
        return int(text) if text.isdigit() else None


class WorkerHooks:
    """What a worker calls, with the GIL, where gunicorn calls hooks.

    Only post_fork() and post_worker_init() raise what the hook raises: it ends the start.
    Elsewhere an exception is logged and the hook's caller goes on.
    """

    def __init__(self, spec: str, names: "Iterable[str]", entries: "list[str]") -> None:
        """Load the functions.

        Args:
            spec: the configuration file, as in _config.main().
            names: hooks that it defines; those of the master are passed over.
            entries: every setting, as Config takes them.

        Raises:
            What executing the file raises.
        """
        file = load(spec)
        self.cfg = Config(entries, file)
        self.server = Server(self.cfg)
        self.worker = Worker(self.server)
        self.log = self.server.log
        self._hooks = {name: file[name] for name in names if name in HOOKS and file.get(name)}
        self._numbers = count(1)
        self._post_request = self._hooks.get("post_request")
        if self._post_request is not None:
            self._arguments = next((n for n in (4, 3, 2) if takes(self._post_request, n)), 4)

    def set_app(self, app: "Callable[..., Any]") -> None:
        """Take the app as soon as it is imported; with --preload, before the fork."""
        self.worker.app.callable = app

    def post_fork(self, age: int, ppid: "int | None" = None) -> None:
        """Run in the worker's process before the app is imported (with --preload: after).

        Args:
            age: the worker's number, counted over the supervisor's life.
            ppid: the supervisor's process id, where it is not the parent.
        """
        self.worker.age = age
        self.server._pid = ppid
        self.server.WORKERS = {os.getpid(): self.worker}
        if "post_fork" in self._hooks:
            self._hooks["post_fork"](self.server, self.worker)

    def post_worker_init(self, app: "Callable[..., Any]") -> None:
        """Run when the app is imported, before the first request."""
        self.set_app(app)
        self.worker.booted = True
        if "post_worker_init" in self._hooks:
            self._hooks["post_worker_init"](self.worker)

    def worker_int(self) -> None:
        """Run when INT or QUIT has come."""
        self.worker.alive = False
        self._call("worker_int", self.worker)

    def worker_abort(self) -> None:
        """Run when ABRT has come: the worker was stuck."""
        self.worker.alive = False
        self.worker.aborted = True
        self._call("worker_abort", self.worker)

    def worker_exit(self) -> None:
        """Run last, whatever ended the worker."""
        self.worker.alive = False
        self._call("worker_exit", self.server, self.worker)

    def pre_request(self, environ: "dict[str, Any]") -> Request:
        """Run before the app is called. Returns the object that post_request() takes."""
        req = Request(environ)
        self.worker.nr = next(self._numbers)
        if "pre_request" in self._hooks:
            self._call("pre_request", self.worker, req)
            try:
                req.put(environ)
            except BaseException:
                self.log.exception("The pre_request hook left a request that cannot be used")
        return req

    def post_request(
        self,
        req: "Request | None",
        environ: "dict[str, Any]",
        status: "str | None",
        headers: "Headers | None",
    ) -> None:
        """Run when the response is complete, or has failed.

        Args:
            req: what pre_request() returned; None where it was not called.
            environ: the request's.
            status: ``200 OK``; None where start_response was not called.
            headers: what start_response was given.
        """
        if self._post_request is None:
            return
        req = Request(environ) if req is None else req
        arguments = (self.worker, req, environ, Response(req, status, headers))
        self._call("post_request", *arguments[: self._arguments])

    def _call(self, name: str, *args: object) -> None:
        hook = self._hooks.get(name)
        if hook is None:
            return
        try:
            hook(*args)
        except BaseException:
            self.log.exception("Exception in %s hook", name)
