"""What workers hold, with --preload and without, against what the container grants."""

from typing import Any

from . import _machine
from ._findings import ADVICE, ERROR, WARNING, Finding
from ._run import NotStarted, Settings, running
from ._screen import size

COUNTS = (1, 2, 4)
TIGHT = 0.8  # of the limit
LEAST_SAVED = 100 << 20
LEAST_SHARE = 0.25
SPARE = 1.5  # more than it should need, before a measurement is begun


def measure(program: str, words: list[str], preload: bool) -> dict[str, Any]:
    """Return the memory of all processes with 1, 2 and 4 workers, none of which has served.

    The numbers of workers that would not fit are left out.
    """
    sizes: dict[int, int] = {}
    kind = "pss"
    more = ["--preload"] if preload else []
    room = _machine.memory_limit() or _machine.available()
    first = each = 0
    for count in COUNTS:
        if count > 1 and (first + each * (count - 1)) * SPARE > room:
            break
        with running(program, words, "-w", str(count), *more) as server:
            server.await_workers(count)
            sizes[count], kind = server.memory()
            if count == 1:
                first = each = sizes[1]
                ready = server.ready_s
    return {"sizes": sizes, "kind": kind, "ready_s": round(ready, 3)}


def both(program: str, words: list[str], settings: Settings) -> dict[str, Any]:
    """Return what is measured without --preload and with it, and why one of them was not."""
    found: dict[str, Any] = {}
    if settings.is_on("preload_app") and settings.sources["preload_app"] == "configuration file":
        found["plain_error"] = "the configuration file has preload_app, which nothing turns off"
    else:
        found["plain"] = measure(program, words, False)
    try:
        found["preload"] = measure(program, words, True)
    except NotStarted as error:
        found["preload_error"] = str(error)
    return found


def per_worker(measured: dict[str, Any]) -> int:
    """Return what one more worker takes."""
    sizes = measured["sizes"]
    most = max(sizes)
    return int((sizes[most] - sizes[1]) / (most - 1)) if most > 1 else int(sizes[1])


def expected(measured: dict[str, Any], count: int) -> int:
    """Return what so many workers take, by what was measured."""
    sizes = measured["sizes"]
    if count in sizes:
        return int(sizes[count])
    return int(sizes[1]) + per_worker(measured) * (count - 1)


def check(
    measured: dict[str, Any], settings: Settings, limit: int, breaks: list[str]
) -> list[Finding]:
    """Return findings.

    Args:
        measured: of both().
        limit: bytes that the container may hold; 0: no limit.
        breaks: what --preload would break.
    """
    count = max(int(settings.number("workers")), 1)
    preloads = settings.is_on("preload_app")
    used = measured.get("preload" if preloads else "plain")
    found = []
    if used and limit:
        found += _against(limit, expected(used, count), per_worker(used), count)
    plain, shared = measured.get("plain"), measured.get("preload")
    if preloads or not plain or not shared or count < 2 or breaks:
        return found
    before, after = expected(plain, count), expected(shared, count)
    saved = before - after
    if saved >= LEAST_SAVED and saved >= LEAST_SHARE * before:
        found.append(
            Finding(
                "preload-saves",
                ADVICE,
                f"--preload would save {size(saved)} of the {size(before)} that {count} workers "
                "hold",
                f"{size(saved)} of memory, measured right after the start; what requests touch is "
                "not shared for long",
                "--preload: nothing was seen that it would break",
            )
        )
    return found


def _against(limit: int, total: int, each: int, count: int) -> list[Finding]:
    if total <= TIGHT * limit:
        return []
    fits = max(int((TIGHT * limit - (total - each * (count - 1))) // max(each, 1)) + 1, 0)
    over = total > limit
    return [
        Finding(
            "memory-over-limit" if over else "memory-tight",
            ERROR if over else WARNING,
            f"{count} worker{'s' * (count > 1)} hold {size(total)} before the first request, and "
            f"the container may hold {size(limit)}",
            "the kernel kills workers, or the platform the container, as soon as requests need "
            "more",
            (f"--workers {fits}, or" if fits else "more memory:")
            + f" a limit of at least {size(total / TIGHT)}",
            [f"{size(each)} for each further worker"],
        )
    ]


def breaking(seen: dict[str, Any]) -> list[str]:
    """Return what --preload would break: what is there once the app is imported."""
    found = []
    threads = seen["at_end"]["threads"]
    if threads:
        found.append(f"threads, which a fork does not copy: {', '.join(threads[:10])}")
    peers = seen["at_end"]["connections"]
    if peers:
        found.append(f"open connections, which all workers would talk on: {', '.join(peers[:10])}")
    if seen["random"]:
        found.append(
            "random generators, which give all workers the same: " + ", ".join(seen["random"][:10])
        )
    return found


def check_breaks(seen: dict[str, Any], settings: Settings) -> list[Finding]:
    """With --preload on, what it breaks."""
    breaks = breaking(seen)
    if not settings.is_on("preload_app") or not breaks:
        return []
    found = []
    if seen["at_end"]["threads"]:
        found.append(
            Finding(
                "threads-before-fork",
                ERROR,
                "the app starts threads as it is imported, and --preload forks after that",
                "no worker has these threads: what they do is never done, and a lock that one of "
                "them holds stays held",
                "start them in a function of @cwsgi.on_startup, which runs in each worker; or "
                "leave --preload out",
                breaks[:1],
            )
        )
    rest = breaks[1:] if seen["at_end"]["threads"] else breaks
    if rest:
        found.append(
            Finding(
                "preload-breaks",
                ERROR,
                "what the app has made at its import is shared by all workers under --preload",
                "answers of one worker's query reach another one; tokens and samples repeat",
                "make it in a function of @cwsgi.on_startup, which runs in each worker; or leave "
                "--preload out",
                rest,
            )
        )
    return found
