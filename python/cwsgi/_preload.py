"""What ``--preload`` does to Python around its forks. Imported by the zygote only."""

import gc
import sys

from ._core import _log


def before_fork() -> None:
    """Runs once, after the app's import and before the first fork.

    Threads do not survive a fork: those that the app has started are named. What was
    made so far is moved out of the garbage collector's sight, so that collections in
    workers do not write to pages that they share.
    """
    threading = sys.modules.get("threading")
    if threading is not None:
        others = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
        if others:
            _log(
                "warning",
                "--preload: the app has started threads, which workers do not get: "
                + ", ".join(others),
            )
    gc.collect()
    gc.freeze()


def after_fork() -> None:
    """Runs in each worker. ``random`` and ``ssl`` see to their own state at forks."""
    gc.enable()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        # Its global generator would give the same numbers in every worker.
        numpy_random.seed()
