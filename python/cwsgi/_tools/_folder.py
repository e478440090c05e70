"""Where a tool keeps what it needs while it runs."""

import os
import tempfile

from . import ToolError

MEMORY = "/dev/shm"  # in a container with a root that is read only, too


def temporary_folder() -> str:
    """Return a folder that can be written to: Python's choice ($TMPDIR, /tmp), or memory.

    Raises:
        ToolError: there is none.
    """
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        if os.access(MEMORY, os.W_OK | os.X_OK):
            return MEMORY
    raise ToolError("no folder can be written to, and one is needed: name one with $TMPDIR")
