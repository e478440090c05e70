"""What an app does as it is imported and started."""

import os
import re
import time
from collections import defaultdict
from typing import Any

from ._findings import WARNING, Finding
from ._screen import size

Seen = dict[str, Any]

# An app is written for these; there is nothing to be had by advice.
FRAMEWORKS = {
    "django", "wagtail", "flask", "werkzeug", "jinja2", "quart", "dash", "plotly", "fastapi",
    "starlette", "pydantic", "pydantic_core", "pydantic_settings", "litestar", "falcon",
    "asgiref", "anyio", "cwsgi", "encodings", "site", "asyncio",
}  # fmt: skip

SLOW_S = 0.3  # own time of a package
SLOW_SHARE = 0.25  # of the app's import
BUSY_S = 0.5  # own time of a module of the app
WAIT_S = 0.05  # less is not worth a line
BIG = 1 << 20  # bytes of a file
SERIAL_S = 0.1  # that could be saved
COMPILE_S = 0.03
COMPILED = 10

LINE = re.compile(r"^import time: +(\d+) \| +(\d+) \|( *)(\S+)$", re.M)


class Import:
    """One line of -X importtime: seconds of the module alone, and with what it imports."""

    def __init__(self, own: str, total: str, indent: str, name: str) -> None:
        self.own, self.total = int(own) / 1e6, int(total) / 1e6
        self.depth, self.name = len(indent) // 2, name


def imports_of(text: str, app: str) -> list[Import]:
    """Return the app's import and all within it, as -X importtime wrote them."""
    lines = [Import(*match.groups()) for match in LINE.finditer(text)]
    ends = [i for i, one in enumerate(lines) if one.name == app]
    if not ends:
        return []
    begin = end = ends[-1]
    # A module comes after what it imports.
    while begin > 0 and lines[begin - 1].depth > lines[end].depth:
        begin -= 1
    return lines[begin : end + 1]


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def check(seen: Seen, text: str, app: str) -> list[Finding]:
    """Return findings of one observed start; `text` is what it wrote to standard error."""
    imports = imports_of(text, app)
    events = [one for one in seen["events"] if one["phase"] == "import"]
    waited = sum(one["seconds"] for one in events)
    return [
        *slow_imports(imports, app, waited, seen["marks"].get("delay", 0.0)),
        *waits(events),
        *big_reads(seen["opened"]),
        *serial(seen),
        *uncompiled(seen["uncompiled"]),
    ]


def slow_imports(imports: list[Import], app: str, waited: float, delay: float) -> list[Finding]:
    """Return packages that are slow to import, and a module of the app's own that works.

    Of all the seconds it `waited` for what is a finding of its own, and for a CPU that others
    had, a busy machine's `delay`. Who lost how much of that is not known: packages count for
    their share, and the app's own module, lest it be blamed wrongly, for what is left.
    """
    if not imports or imports[-1].total <= 0:
        return []
    ran = max(0.0, 1 - delay / imports[-1].total)
    total = imports[-1].total * ran
    own_package = app.partition(".")[0]
    packages: dict[str, float] = defaultdict(float)
    modules: dict[str, int] = defaultdict(int)
    busy = {}
    for one in imports:
        package = one.name.partition(".")[0]
        if package == own_package:
            busy[one.name] = one.own
        packages[package] += one.own * ran
        modules[package] += 1
    found = []
    for package, seconds in sorted(packages.items(), key=lambda one: -one[1]):
        if package in FRAMEWORKS or package == own_package:
            continue
        if seconds >= SLOW_S and seconds >= SLOW_SHARE * total:
            found.append(
                Finding(
                    "slow-import",
                    WARNING,
                    f"importing {package} takes {ms(seconds)} of the app's {ms(total)}",
                    f"{ms(seconds)} of each start ({modules[package]} modules)",
                    f"import {package} inside of the functions that use it, if few requests do; "
                    "or import a part of it only",
                )
            )
    name, seconds = max(busy.items(), key=lambda one: one[1], default=("", 0.0))
    seconds -= waited + delay
    if seconds >= BUSY_S:
        found.append(
            Finding(
                "import-work",
                WARNING,
                f"{name} works for {ms(seconds)} as it is imported",
                f"{ms(seconds)} of each start and of each reload, in every worker",
                "do it once when the image is built, or at first need; with @cwsgi.on_startup it "
                "runs beside other start-up work",
            )
        )
    return found


def _places(events: list[dict[str, Any]]) -> list[str]:
    return [f"{one['what']}, {ms(one['seconds'])}, at {one['where']}" for one in events[:10]]


def _is_others(where: str) -> bool:
    return f"-packages{os.sep}" in where or where == "?"


def waits(events: list[dict[str, Any]]) -> list[Finding]:
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in events:
        kinds[one["kind"].partition("-")[0]].append(one)
    # Of a path: the system's log, another process here.
    network = [one for one in kinds["connect"] if ":" in one["what"]] + kinds["lookup"]
    sleeps, processes = kinds["sleep"], kinds["subprocess"]
    found = []
    seconds = sum(one["seconds"] for one in network)
    if network:
        found.append(
            Finding(
                "import-network",
                WARNING,
                f"the app connects to others as it is imported ({ms(seconds)})",
                f"{ms(seconds)} of each start here, more where the network is slower; a start "
                "fails where the other side does not answer, and --preload cannot be used",
                "connect in a function of @cwsgi.on_startup (several run side by side), or at "
                "first need",
                _places(network),
            )
        )
    seconds = sum(one["seconds"] for one in sleeps)
    if seconds >= WAIT_S:
        found.append(
            Finding(
                "import-sleep",
                WARNING,
                f"the app sleeps for {ms(seconds)} as it is imported",
                f"{ms(seconds)} of each start",
                "wait for what is needed in a function of @cwsgi.on_startup, where waits run "
                "side by side",
                _places(sleeps),
            )
        )
    seconds = sum(one["seconds"] for one in processes)
    if seconds >= WAIT_S or any(not _is_others(one["where"]) for one in processes):
        found.append(
            Finding(
                "import-subprocess",
                WARNING,
                f"the app runs other programs as it is imported ({ms(seconds)})",
                f"{ms(seconds)} of each start",
                "do it when the image is built and read a file, or in a function of "
                "@cwsgi.on_startup",
                _places(processes),
            )
        )
    return found


def big_reads(opened: dict[str, dict[str, str]]) -> list[Finding]:
    found = []
    for path, how in opened.items():
        if how["phase"] != "import" or f"-packages{os.sep}" in path:
            continue
        try:
            length = os.stat(path).st_size if os.path.isfile(path) else 0
        except OSError:
            continue
        if length >= BIG:
            found.append((length, path, how["where"]))
    if not found:
        return []
    found.sort(reverse=True)
    began, total = time.perf_counter(), sum(one[0] for one in found)
    for _, path, _ in found[:10]:
        try:
            with open(path, "rb") as file:
                while file.read(BIG):
                    pass
        except OSError:
            continue
    seconds = time.perf_counter() - began
    return [
        Finding(
            "import-big-read",
            WARNING,
            f"the app reads {size(total)} of data as it is imported",
            f"{ms(seconds)} to read here, from the page cache, more on a cold disk; what it "
            "becomes in memory is there once for each worker",
            "read it at first need, map it (mmap), or use --preload to have it once",
            [f"{path}, {size(length)}, at {where}" for length, path, where in found[:10]],
        )
    ]


def _together(events: list[dict[str, Any]]) -> float:
    """Return for how long at least one of them went on."""
    total = end = 0.0
    for one in sorted(events, key=lambda one: one["at"]):
        last = one["at"] + one["seconds"]
        total += max(last - max(one["at"], end), 0)
        end = max(end, last)
    return total


def serial(seen: Seen) -> list[Finding]:
    """Waits of one on_startup function, or of a lifespan, one after another."""
    found = []
    for name, _, took in seen["marks"].get("startup", ()):
        events = [
            one
            for one in seen["events"]
            if one["phase"] == f"startup:{name}" and one["seconds"] >= WAIT_S / 2
        ]
        waited = _together(events)
        longest = max((one["seconds"] for one in events), default=0)
        if len(events) > 1 and waited - longest >= SERIAL_S:
            what = "the app's lifespan" if name == "lifespan" else f"{name}()"
            found.append(
                Finding(
                    "startup-serial",
                    WARNING,
                    f"{what} waits {len(events)} times, one after another ({ms(waited)})",
                    f"up to {ms(waited - longest)} of each start",
                    "make a function of @cwsgi.on_startup of each: they run side by side"
                    + (", or await them together (asyncio.gather)" if name == "lifespan" else ""),
                    [f"it takes {ms(took)}", *_places(events)],
                )
            )
    return found


def uncompiled(paths: list[str]) -> list[Finding]:
    began, count = time.perf_counter(), 0
    for path in paths:
        try:
            with open(path, "rb") as file:
                compile(file.read(), path, "exec", dont_inherit=True)
            count += 1
        except (OSError, SyntaxError, ValueError):
            continue
    seconds = time.perf_counter() - began
    if count < COMPILED and seconds < COMPILE_S:
        return []
    folders = sorted({os.path.dirname(path) for path in paths})
    return [
        Finding(
            "pyc-missing",
            WARNING,
            f"{count} modules are compiled anew at each start, since no .pyc can be kept",
            f"{ms(seconds)} of each start, in every worker",
            "cwsgi compile APP when the image is built, and no PYTHONDONTWRITEBYTECODE there",
            folders[:10],
        )
    ]
