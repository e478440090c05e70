"""What doctor has a worker run before all else: notes what an app does as it is imported.

First on PYTHONPATH, so that ``site`` imports it, in every Python that the server starts; it
gives its place back at once and then imports the ``sitecustomize`` that would have been there.
What it saw goes to memory with a name, when a signal asks for it.
"""

# Runs before all else, where nothing may be imported for types.
# mypy: ignore-errors
import os
import sys
import time

OWN = os.path.dirname(os.path.abspath(__file__))
LIMIT = 2000  # events of one kind
SIGNAL = 11  # above SIGRTMIN


def _give_back() -> None:
    """Leave nothing of this in the environment and on the path."""
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    rest = [one for one in path if os.path.abspath(one) != OWN] if path != [""] else []
    if rest:
        os.environ["PYTHONPATH"] = os.pathsep.join(rest)
    else:
        os.environ.pop("PYTHONPATH", None)
    os.environ.pop("PYTHONPROFILEIMPORTTIME", None)
    sys.path[:] = [one for one in sys.path if os.path.abspath(one) != OWN]
    sys.path_importer_cache.pop(OWN, None)
    sys.modules.pop("sitecustomize", None)


def _is_worker() -> bool:
    return any("_worker(int(sys.argv[1])" in word for word in sys.orig_argv)


class Observer:
    """Notes calls that wait, files that are opened, and when the app's import begins and ends."""

    def __init__(self, app):
        self.app = app
        self.began = time.perf_counter()
        self.events = []
        self.opened = {}
        self.written = {}
        self.marks = {}
        self.at_end = {}
        self.startup = {}
        self.in_lifespan = False

    def note(self, kind, what, began, seconds):
        if len(self.events) < LIMIT:
            self.events.append(
                {
                    "kind": kind,
                    "what": str(what),
                    "at": began - self.began,
                    "seconds": seconds,
                    "phase": self.phase(),
                    "where": self.where(),
                }
            )

    def phase(self):
        name = self.startup.get(_thread_id())
        if name:
            return f"startup:{name}"
        if self.in_lifespan:
            return "startup:lifespan"
        return "served" if "imported" in self.marks else "import"

    @staticmethod
    def where():
        """Return the place in the app, else the innermost that is not the standard library."""
        frame = sys._getframe(2)
        best = None
        while frame is not None:
            path = frame.f_code.co_filename
            if path.startswith("<") or path.startswith(OWN):
                frame = frame.f_back
                continue
            if "-packages" + os.sep not in path and not path.startswith(_LIBRARY):
                return f"{path}:{frame.f_lineno}"
            if best is None and not path.startswith(_LIBRARY):
                best = f"{path}:{frame.f_lineno}"
            frame = frame.f_back
        return best or "?"

    def timed(self, kind, describe, call):
        """Return a function that notes how long `call` takes."""

        def wrapper(*args, **kwargs):
            began = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                try:
                    what = describe(*args, **kwargs)
                except Exception:
                    what = "?"
                self.note(kind, what, began, time.perf_counter() - began)

        wrapper.__wrapped__ = call
        wrapper.__name__ = getattr(call, "__name__", kind)
        return wrapper

    def awaited(self, kind, describe, call):
        """The same for a coroutine function."""

        async def wrapper(*args, **kwargs):
            began = time.perf_counter()
            try:
                return await call(*args, **kwargs)
            finally:
                self.note(kind, describe(*args, **kwargs), began, time.perf_counter() - began)

        wrapper.__wrapped__ = call
        wrapper.__name__ = call.__name__
        return wrapper

    # Of the audit hook: no call of ours may fail into the app's.

    def audit(self, event, args):
        if event == "open":
            try:
                self.on_open(*args)
            except Exception:
                pass

    def on_open(self, path, mode, flags):
        if not isinstance(path, str) or len(self.opened) > LIMIT:
            return
        writes = flags & (os.O_WRONLY | os.O_RDWR) if isinstance(flags, int) else False
        if path.startswith(("/dev/", "/proc/", "/sys/")) or "__pycache__" in path:
            return
        into = self.written if writes else self.opened
        if path not in into and not path.endswith((".py", ".pyc", ".so")):
            into[path] = {"where": self.where(), "phase": self.phase()}

    # Modules as they come.

    def find_spec(self, name, path=None, target=None):
        after = self.WANTED.get(name)
        if after is None and name != self.app:
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path, target)
        loader = getattr(spec, "loader", None)
        if loader is None or not hasattr(loader, "exec_module"):
            return spec
        real = loader.exec_module

        def exec_module(module):
            if name == self.app:
                self.marks["import"] = time.perf_counter() - self.began
                delay = _delay()
            try:
                real(module)
            finally:
                if name == self.app:
                    self.marks["imported"] = time.perf_counter() - self.began
                    self.marks["delay"] = _delay() - delay
                    self.at_end = _state()
            if after is not None:
                after(self, module)

        loader.exec_module = exec_module
        return spec

    def on_socket(self, module):
        connect = self.timed("connect", lambda s, a, *r: _address(a), module.socket.connect)
        connect_ex = self.timed("connect", lambda s, a, *r: _address(a), module.socket.connect_ex)
        module.socket.connect, module.socket.connect_ex = connect, connect_ex
        module.getaddrinfo = self.timed("lookup", lambda h, *r, **k: h, module.getaddrinfo)

    def on_subprocess(self, module):
        real = module.Popen.__init__
        waits = module.Popen.wait
        module.Popen.__init__ = self.timed("subprocess", lambda s, a, *r, **k: _command(a), real)
        module.Popen.wait = self.timed(
            "subprocess-wait", lambda s, *r, **k: _command(s.args), waits
        )

    def on_startup(self, module):
        real = module._call

        def call(function):
            me = _thread_id()
            name = f"{function.__module__}.{getattr(function, '__qualname__', '?')}"
            self.startup[me] = name
            began = time.perf_counter()
            try:
                return real(function)
            finally:
                self.startup.pop(me, None)
                took = time.perf_counter() - began
                self.marks.setdefault("startup", []).append([name, began - self.began, took])

        module._call = call

    def on_asyncio(self, module):
        module.sleep = self.awaited("sleep", lambda s, *r, **k: f"{s} s", module.sleep)
        loop = module.base_events.BaseEventLoop
        loop.create_connection = self.awaited(
            "connect",
            lambda loop, f, host=None, port=None, **k: f"{host}:{port}",
            loop.create_connection,
        )

    def on_asgi(self, module):
        real = module.Lifespan.startup

        async def startup(lifespan):
            self.in_lifespan, began = True, time.perf_counter()
            try:
                await real(lifespan)
            finally:
                self.in_lifespan, took = False, time.perf_counter() - began
                self.marks.setdefault("startup", []).append(["lifespan", began - self.began, took])

        module.Lifespan.startup = startup

    WANTED = {
        "asyncio": on_asyncio,
        "socket": on_socket,
        "subprocess": on_subprocess,
        "cwsgi._asgi": on_asgi,
        "cwsgi._startup": on_startup,
    }

    def report(self, number, frame):
        """Write all of it to memory that doctor finds among this process's descriptors."""
        import json

        sys.path.insert(0, OWN)
        try:
            import cwsgi_observed

            seen = cwsgi_observed.look(self)
        except Exception as error:
            seen = {"error": f"{type(error).__name__}: {error}"}
        finally:
            sys.path.remove(OWN)
        self.kept = fd = os.memfd_create("cwsgi-observed")
        data = json.dumps(seen).encode()
        while data:
            data = data[os.write(fd, data) :]


def _delay():
    """Return seconds for which the main thread could have run and others had its CPU."""
    try:
        with open("/proc/self/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def _thread_id():
    import _thread

    return _thread.get_ident()


def _address(address):
    if isinstance(address, tuple):
        return f"{address[0]}:{address[1]}"
    return address.decode("utf-8", "replace") if isinstance(address, bytes) else address


def _command(args):
    word = args if isinstance(args, str) else next(iter(args), "?")
    return os.fsdecode(word).split(" ")[0]


def _state():
    """Return what a fork would break: threads and connections that are there now."""
    threading = sys.modules.get("threading")
    threads = []
    if threading is not None:
        main = threading.main_thread()
        threads = [
            one
            for one in threading.enumerate()
            if one is not main and not one.name.startswith("cwsgi")
        ]
    return {
        "threads": [one.name for one in threads],
        "staying": [one.name for one in threads if not one.daemon],
        "sockets": _sockets(),
    }


def _sockets():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if link.startswith("socket:["):
            found.append(link[8:-1])
    return found


def _begin():
    app = os.environ.pop("CWSGI_OBSERVED_APP", "")
    observer = Observer(app)
    sys.meta_path.insert(0, observer)
    sys.addaudithook(observer.audit)
    time.sleep = observer.timed("sleep", lambda s: f"{s} s", time.sleep)
    import _signal

    _signal.signal(_signal.SIGRTMIN + SIGNAL, observer.report)


_own_module = sys.modules.get(__name__)
_LIBRARY = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_give_back()
try:
    if _is_worker():
        _begin()
except Exception as error:
    print(f"cwsgi doctor: cannot observe: {error!r}", file=sys.stderr)
try:
    import sitecustomize  # noqa: F401
except ImportError as _error:
    if _error.name != "sitecustomize":
        raise
# The import system looks for what it has imported.
sys.modules.setdefault("sitecustomize", _own_module)
