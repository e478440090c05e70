"""Says what .pyc files are missing. Imported only where a start has compiled something."""

import os
import sys
from importlib._bootstrap_external import cache_from_source

from ._core import _log

LEAST = 20000  # us; what takes less is not worth a line


def report(compiled: "list[tuple[str, int]]", began: int) -> None:
    """Warn in one line where modules are compiled at each start.

    Args:
        compiled: path and microseconds of each module that was.
        began: when the import began, as files are dated, ns.
    """
    # One that was written now is there for the next start.
    left = [(path, us) for path, us in compiled if not _is_written(path, began)]
    spent = sum(us for _, us in left)
    if spent < LEAST:
        return
    if sys.dont_write_bytecode:
        why = "PYTHONDONTWRITEBYTECODE keeps them from being written"
    else:
        folder = os.path.dirname(max(left, key=lambda item: item[1])[0])
        why = f"they cannot be written in {folder}"
        if len({os.path.dirname(path) for path, _ in left}) > 1:
            why += " and others"
    modules = "1 module was" if len(left) == 1 else f"{len(left)} modules were"
    _log(
        "warning",
        f"{modules} compiled from source, which took about {spent // 1000} ms of this start and "
        f"will of the next: there are no .pyc files, and {why}. `cwsgi compile` writes them",
    )


def _is_written(path: str, began: int) -> bool:
    try:
        return os.stat(cache_from_source(path)).st_mtime_ns >= began
    except (OSError, NotImplementedError):
        return False
