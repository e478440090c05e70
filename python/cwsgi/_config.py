"""Reads a configuration file: ``cwsgi.conf.py``, ``gunicorn.conf.py`` or ``--config``.

The launcher runs main() in a Python of its own that ends right after it, and learns the
settings through a pipe, in the form csrc/base/options.h describes. Workers and the helper
for the master's hooks load() the file once more, for its functions.
"""

import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader

from ._settings import FOREIGN, HOOKS, KINDS, OWN, says_nothing, takes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_MODULE = "__config__"
_loaded: "dict[str, dict[str, Any]]" = {}


_ONLY_TREE = 0x400  # compile(): ast.PyCF_ONLY_AST, without its module
END = b"=\0"  # without it, the file ended this process half-way


def main(fd: int, spec: str) -> int:
    """Write the settings of a configuration to `fd` and return the exit status.

    Args:
        fd: where NUL-ended entries go: ``name=value``, ``name[=value`` per element of a list,
            ``name()=`` for a function, ``import()=`` where workers have to execute the file
            for more than its values: to find the app, or for its effects; ``=`` at the end.
        spec: a path, ``file:PATH`` or ``python:MODULE``.

    Returns:
        0, or 1 after telling standard error what is wrong: the traceback through the file
        where there is one, then one line.
    """
    try:
        before, path = dict(os.environ), list(sys.path)
        names = load(spec)
        found = [*entries(names), *_variables(before)]
        path += [os.getcwd(), os.path.dirname(os.path.abspath(spec.removeprefix("file:")))]
        if not set(sys.path) <= set(path) or _has_effects(names):
            found.append("import()=")
        data = b"".join(map(_encode, found)) + END
        while data:
            data = data[os.write(fd, data) :]
    except BaseException as error:
        report(error, spec)
        return 1
    return 0


def load(spec: str, again: bool = False, folder: str = "") -> "dict[str, Any]":
    """Execute a configuration and return its names.

    A file runs as the module ``__config__``, with the current folder on sys.path before the
    installed packages and its own folder last. A second call returns what the first one did.

    Args:
        spec: as for main().
        again: execute it even so.
        folder: of a module, if that is not the current one.

    Raises:
        Whatever opening and executing it raises.
    """
    if again or spec not in _loaded:
        _look_in(os.getcwd(), _after_the_library())
        if folder and spec.startswith("python:"):
            _look_in(folder, _after_the_library())
        if spec.startswith("python:"):
            name = spec[len("python:") :]
            if again:
                sys.modules.pop(name, None)
            __import__(name)
            _loaded[spec] = vars(sys.modules[name])
        else:
            here = os.getcwd()
            try:
                _loaded[spec] = _execute(os.path.abspath(spec.removeprefix("file:")))
            finally:
                # Where it has gone is its own affair, as with gunicorn.
                os.chdir(here)
    return _loaded[spec]


def _look_in(folder: str, at: int) -> None:
    if folder not in sys.path:
        sys.path.insert(at, folder)


def _after_the_library() -> int:
    """Return where on sys.path the standard library ends.

    What lies in the current folder must not stand in for it: this may run as root, where
    others can write.
    """
    library = os.path.dirname(getattr(os, "__file__", ""))
    own = (library, os.path.join(library, "lib-dynload"))
    return max((i + 1 for i, folder in enumerate(sys.path) if folder in own), default=0)


def _execute(path: str) -> "dict[str, Any]":
    with open(path, "rb") as file:
        source = file.read()
    # A worker that was told --chdir still finds what lies beside the file.
    _look_in(os.path.dirname(path), len(sys.path))
    code = compile(source, path, "exec", dont_inherit=True)
    module = type(sys)(_MODULE)
    module.__file__ = path
    module.__loader__ = SourceFileLoader(_MODULE, path)
    # Tracebacks find its lines through either, and warn where the two differ.
    module.__spec__ = ModuleSpec(_MODULE, module.__loader__, origin=path)
    module.__package__ = ""
    # Dataclasses, pickle and others look their module up.
    sys.modules[_MODULE] = module
    exec(code, vars(module))
    return vars(module)


def report(error: BaseException, spec: str) -> None:
    """Tell standard error that a configuration cannot be read, and why."""
    from ._error_log import complain, put, trace

    text = trace(error)
    if isinstance(error, SyntaxError) or text.startswith("Traceback"):
        put(text)
    why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("gunicorn"):
        why += "; install gunicorn as well, or leave that out: cwsgi.glogging has its Logger"
    complain(f"cannot read the configuration {spec}: {why}")


# ---- what the launcher is told ----


def entries(names: "dict[str, Any]") -> "list[str]":
    """Return the entries of those names that are settings or hooks.

    Names that are neither, modules and None are left out, and functions under names that are
    settings of cwsgi's alone. gunicorn's other settings are passed on for the launcher to
    refuse or to pass over.

    Raises:
        TypeError, ValueError: naming the setting whose value cannot be used.
    """
    found: list[str] = []
    for name, value in names.items():
        if value is None or isinstance(value, type(sys)):
            continue
        if name in HOOKS:
            found.append(_hook(name, value))
        elif name in FOREIGN:
            found.append(f"{name}={0 if says_nothing(name, value) else 1}")
        elif name in KINDS and not (name in OWN and callable(value)):
            found += _setting(name, value)
    return found


def _variables(before: "dict[str, str]") -> "list[str]":
    """Return entries for what has changed in os.environ.

    gunicorn executes its file in the process that workers are forked from: they have it, too.
    """
    changed = dict(os.environ.items() - before.items())
    set_now = [f"environ[={name}={value}" for name, value in changed.items()]
    return set_now + [f"environ[={name}" for name in before.keys() - os.environ.keys()]


def _has_effects(names: "dict[str, Any]") -> bool:
    """Return whether the file may have done something that the app's processes lack.

    gunicorn's workers are forked from the process that did it. What counts is what it did to
    ``logging``, and others' modules that it calls outside of functions, or imports and never
    names again: agents that watch an app, patches. A module that its hooks use is not enough:
    such a file may as well empty a folder when it is executed.

    Args:
        names: what executing the file has defined.
    """
    logging = sys.modules.get("logging")
    if logging is not None:
        loggers = (logging.root, *logging.root.manager.loggerDict.values())
        if any(getattr(one, "handlers", ()) or getattr(one, "filters", ()) for one in loggers):
            return True
    try:
        with open(names["__file__"], "rb") as file:
            tree = compile(file.read(), "?", "exec", _ONLY_TREE, dont_inherit=True)
    except (KeyError, OSError, SyntaxError, TypeError, ValueError):
        return False  # a module without a source
    used = {node.id for node in _nodes(tree, True) if _kind(node) == "Name"}
    return any(_acts(node, names, used) for node in _nodes(tree, False))


def _kind(node: "Any") -> str:
    return type(node).__name__


def _nodes(node: "Any", functions: bool) -> "Iterator[Any]":
    """Yield the nodes of a syntax tree; what is in functions only where that is wanted."""
    yield node
    if not functions and _kind(node) in ("FunctionDef", "AsyncFunctionDef", "Lambda"):
        return
    for name in node._fields:
        value = getattr(node, name, None)
        for one in value if isinstance(value, list) else (value,):
            if hasattr(one, "_fields"):
                yield from _nodes(one, functions)


def _acts(node: "Any", names: "dict[str, Any]", used: "set[str]") -> bool:
    """Return whether a statement calls another's module, or imports it for that alone."""
    if _kind(node) in ("Import", "ImportFrom"):
        bound = [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        unused = (name for name in bound if name not in used and not _is_setting(name))
        return any(_is_others(names.get(name)) for name in unused)
    if _kind(node) != "Expr" or _kind(node.value) != "Call":
        return False
    root = node.value.func
    while _kind(root) in ("Attribute", "Call"):
        root = root.value if _kind(root) == "Attribute" else root.func
    return _kind(root) == "Name" and _is_others(names.get(root.id))


def _is_setting(name: str) -> bool:
    return name in KINDS or name in HOOKS or name in FOREIGN


def _is_others(value: "Any") -> bool:
    """Return whether it is, or is of, a module that is neither Python's nor ours."""
    name = value.__name__ if isinstance(value, type(sys)) else getattr(value, "__module__", None)
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is None or name == _MODULE:
        return False
    library = os.path.join(os.path.dirname(getattr(os, "__file__", "")), "")
    ours = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")
    path = getattr(module, "__file__", None)
    if path is None:
        return hasattr(module, "__path__")  # a folder that is a package
    if path.startswith(ours):
        return False
    return not path.startswith(library) or f"-packages{os.sep}" in path


def _hook(name: str, value: "Any") -> str:
    if not callable(value):
        raise TypeError(f"{name}: a function is needed, not {_a(value)}")
    if not any(takes(value, count) for count in HOOKS[name]):
        counts = " or ".join(str(count) for count in sorted(HOOKS[name]))
        plural = "" if counts == "1" else "s"
        raise TypeError(f"{name}: the function must take {counts} argument{plural}")
    return f"{name}()="


def _setting(name: str, value: "Any") -> "list[str]":
    kind = KINDS[name]
    if name == "logconfig_dict":
        if not isinstance(value, dict):
            raise TypeError(f"{name}: {_a(value)} cannot be used here")
        return ["logconfig_dict=1"] if value else []
    if name in ("worker_class", "logger_class") and isinstance(value, type):
        return [f"{name}={value.__module__}.{value.__qualname__}"]
    if callable(value) and not hasattr(value, "__fspath__"):
        return [f"{name}()="]
    if isinstance(value, dict) and (kind == "list" or name == "secure_scheme_headers"):
        pairs = [f"{key}={_text(name, item)}" for key, item in value.items()]
        if kind == "list":
            return [f"{name}[={pair}" for pair in pairs]
        if any("," in pair for pair in pairs):
            raise ValueError(f"{name}: a comma cannot be part of it")
        return [f"{name}={','.join(pairs)}"]
    if isinstance(value, (list, tuple, set, frozenset)) and kind in ("list", "text"):
        items = [_text(name, item) for item in value]
        if isinstance(value, (set, frozenset)):
            items.sort()
        if not items and kind == "text":
            return [f"{name}="]
        return [f"{name}[={item}" for item in items]
    return [f"{name}{'[' if kind == 'list' else ''}={_text(name, _number(kind, value))}"]


def _number(kind: str, value: "Any") -> "Any":
    """Return a number as the table reads it; what is none, unchanged."""
    if kind == "int" and isinstance(value, float) and value == value and abs(value) < 2**31:
        return int(value)  # gunicorn's rule: workers = cpus / 2
    if kind == "int" and isinstance(value, str):
        try:
            return int(value, 0)
        except ValueError:
            return value.strip()
    if kind == "seconds" and isinstance(value, float):
        return f"{value:.3f}"
    return value


def _text(name: str, value: "Any") -> str:
    """Return a plain value as text."""
    if isinstance(value, bool):
        text = str(int(value))
    elif isinstance(value, str):
        text = str.__str__(value)  # also of an enum's member
    elif isinstance(value, (int, float)):
        text = str(value)
    elif hasattr(value, "__fspath__"):
        text = os.fsdecode(value)
    else:
        raise TypeError(f"{name}: {_a(value)} cannot be used here")
    if "\0" in text or "\n" in text:
        raise ValueError(f"{name}: a value with a line break or a NUL cannot be used")
    return text


def _a(value: object) -> str:
    """Return ``a dict`` or ``an object of class X``."""
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _encode(entry: str) -> bytes:
    try:
        return entry.encode("utf-8", "surrogateescape") + b"\0"
    except UnicodeEncodeError:
        name = entry.partition("=")[0].rstrip("[")
        raise ValueError(f"{name}: the value is not text that can be encoded") from None
