"""What `threading` of CPython before 3.13 gets wrong in a server whose handlers import it."""

from __future__ import annotations

import threading
from typing import Any


def become_main() -> None:
    """Makes the calling thread, the process's main one, what `threading` takes for it.

    Until 3.12 that is the thread that imported `threading`; at the interpreter's end it would
    wait for a lock of a thread that is gone. Only names that 3.10 to 3.12 have are used.
    """
    main: Any = threading.main_thread()
    internals: Any = threading
    with internals._active_limbo_lock:
        if internals._active.get(main.ident) is main:
            del internals._active[main.ident]
        main._set_ident()
        main._set_native_id()
        main._set_tstate_lock()
        internals._active[main.ident] = main
