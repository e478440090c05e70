"""What to say of an app that cannot be imported or used. Imported only then."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import Any

from ._error_log import trace

_NAMES = ("app", "application", "wsgi", "wsgi_app", "create_app", "make_app", "asgi")


def explain(module: str, error: BaseException) -> tuple[str, str]:
    """Return the traceback of a failed import and the reason in one line.

    Args:
        module: what was to be imported.
        error: what that raised.

    Returns:
        Traceback and reason. The first is empty where it would show no line of the app's: the
        module is simply not there.
    """
    if isinstance(error, ModuleNotFoundError) and error.name and _is_part(error.name, module):
        nearest = get_close_matches(module, _modules(os.getcwd()), 1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        return "", f"there is no module {error.name!r}{hint}"
    why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return trace(error), why


def _is_part(name: str, module: str) -> bool:
    return f"{module}.".startswith(f"{name}.")


def _modules(folder: str) -> list[str]:
    """Return the modules and packages in a folder."""
    found = []
    for entry in os.scandir(folder):
        name, ending = os.path.splitext(entry.name)
        if ending == ".py" or (not ending and entry.is_dir() and not name.startswith(("_", "."))):
            found.append(name)
    return found


def nearest(holder: Any, name: str, ref: str) -> str:
    """Return ``; did you mean 'app'?`` for a name that `holder` does not have, or "".

    Args:
        holder: the module, or what was reached so far.
        name: what was looked for; "" where none was given.
        ref: what the names come after, as in ``main``; "" without.
    """
    names = [other for other in vars(holder) if not other.startswith("__")]
    found = get_close_matches(name, names, 1) if name else []
    found = found or [other for other in _NAMES if callable(getattr(holder, other, None))][:1]
    if not found:
        return ""
    text = found[0] if not ref else f"{ref}:{found[0]}"
    call = "()" if found[0] in ("create_app", "make_app") else ""
    return f"; did you mean '{text}{call}'?"
