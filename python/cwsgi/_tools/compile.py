"""``cwsgi compile``: writes the .pyc files of what an app imports."""

import argparse
import importlib.util
import marshal
import os
import stat
import sys
import sysconfig
import time
from importlib._bootstrap_external import cache_from_source

from . import _start

USAGE = "cwsgi compile [-O LEVEL] [--invalidation KIND] [--dry-run] [OPTIONS OF CWSGI] APP"

# Bits of the second word of a .pyc file (PEP 552).
HASHED, CHECKED = 1, 2


class Refused(Exception):
    """A file that is not written; the text says why."""


def main(program: str, args: "list[str]") -> int:
    """Compile, and return 0, or 1 where a file could not be written."""
    parser = argparse.ArgumentParser(
        prog="cwsgi compile",
        usage=USAGE,
        allow_abbrev=False,
        description="Imports an app as a worker would, and writes the .pyc file of each module "
        "that this has imported. A .pyc that is right already stays.",
    )
    parser.add_argument(
        "-O",
        dest="levels",
        type=int,
        choices=(0, 1, 2),
        action="append",
        metavar="LEVEL",
        help="for python (0), python -O (1), python -OO (2); may be repeated. Default: the one "
        "that the app is started with",
    )
    parser.add_argument(
        "--invalidation",
        choices=("unchecked", "checked", "timestamp"),
        default="unchecked",
        metavar="KIND",
        help="how Python finds out that a source has changed: unchecked (not at all, for images: "
        "layers and copies change the times of files), checked (by its contents, which have to "
        "be read) or timestamp. Default unchecked; timestamp where sources are edited",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be written")
    options, words = parser.parse_known_args(args)
    if not words:
        parser.error("no app was named; try: cwsgi compile main:app")
    data = _start.traced(program, words)
    levels = sorted(set(options.levels or [data["optimize"]]))
    job = Job(options.invalidation, options.dry_run)
    for source in dict.fromkeys(source for source, _ in data["sources"]):
        for level in levels:
            job.one(source, level)
    return job.done()


class Job:
    """Compiles one file after the other, and counts."""

    def __init__(self, kind: str, dry_run: bool) -> None:
        self.kind, self.dry_run = kind, dry_run
        self.written = self.bytes = self.kept = 0
        self.began = time.monotonic()
        self.refused: list[tuple[str, str]] = []
        paths = sysconfig.get_paths()
        self.library = tuple(
            {os.path.realpath(paths[key]) + os.sep for key in ("stdlib", "platstdlib")}
        )
        self.packages = tuple(
            os.path.realpath(paths[key]) + os.sep for key in ("purelib", "platlib")
        )

    def one(self, source: str, level: int) -> None:
        if not source.endswith(".py"):
            return
        target = cache_from_source(source, optimization=level or "")
        try:
            with open(source, "rb") as file:
                text = file.read()
                facts = os.fstat(file.fileno())
            found = state_of(target, text, facts)
            if found and (found == self.kind or self.is_library(source)):
                self.kept += 1
                return
            check_place(target)
            data = compiled(source, text, facts, level, self.kind)
            if not self.dry_run:
                put(target, data, facts)
        except Refused as why:
            self.refused.append((target, str(why)))
            return
        except OSError as error:
            self.refused.append((target, error.strerror or str(error)))
            return
        except (SyntaxError, ValueError, RecursionError) as error:
            self.refused.append((source, f"{type(error).__name__}: {error}"))
            return
        self.written += 1
        self.bytes += len(data)

    def is_library(self, source: str) -> bool:
        """Whether the file is Python's own: what is right there is its package manager's."""
        path = os.path.realpath(source)
        return path.startswith(self.library) and not path.startswith(self.packages)

    def done(self) -> int:
        for path, why in self.refused[:10]:
            print(f"cwsgi compile: not written: {path}: {why}", file=sys.stderr)
        if len(self.refused) > 10:
            print(f"cwsgi compile: and {len(self.refused) - 10} more", file=sys.stderr)
        verb = "would write" if self.dry_run else "wrote"
        print(
            f"{verb} {self.written} .pyc files ({self.bytes / (1 << 20):.1f} MiB, {self.kind}) in "
            f"{time.monotonic() - self.began:.1f} s; {self.kept} were right already"
            + (f"; {len(self.refused)} could not be written" if self.refused else "")
        )
        if self.written and self.kind == "unchecked" and not self.dry_run:
            print("Python does not notice when a source of these changes: compile again then")
        return 1 if self.refused else 0


def state_of(target: str, text: bytes, facts: os.stat_result) -> "str | None":
    """Return the kind of a .pyc file that fits its source, or None."""
    try:
        with open(target, "rb") as file:
            head = file.read(16)
    except OSError:
        return None
    if len(head) < 16 or head[:4] != importlib.util.MAGIC_NUMBER:
        return None
    flags = int.from_bytes(head[4:8], "little")
    if flags == 0:
        time_and_size = int(facts.st_mtime) & 0xFFFFFFFF, facts.st_size & 0xFFFFFFFF
        found = int.from_bytes(head[8:12], "little"), int.from_bytes(head[12:], "little")
        return "timestamp" if found == time_and_size else None
    if head[8:] != importlib.util.source_hash(text):
        return None
    return "checked" if flags & CHECKED else "unchecked"


def compiled(source: str, text: bytes, facts: os.stat_result, level: int, kind: str) -> bytes:
    """Return the bytes of a .pyc file (PEP 552)."""
    code = compile(text, source, "exec", dont_inherit=True, optimize=level)
    if kind == "timestamp":
        flags = 0
        rest = (int(facts.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little")
        rest += (facts.st_size & 0xFFFFFFFF).to_bytes(4, "little")
    else:
        flags = HASHED | (CHECKED if kind == "checked" else 0)
        rest = importlib.util.source_hash(text)
    return importlib.util.MAGIC_NUMBER + flags.to_bytes(4, "little") + rest + marshal.dumps(code)


def check_place(target: str) -> None:
    """Raise Refused where the file must not or cannot be written."""
    folder = os.path.dirname(target)
    if os.path.islink(folder):
        raise Refused("its folder is a link")
    try:
        if not stat.S_ISREG(os.lstat(target).st_mode):
            raise Refused("there is something else of that name")
    except FileNotFoundError:
        pass
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        raise Refused("the file system is read-only" if read_only else "no right to write there")


def put(target: str, data: bytes, facts: os.stat_result) -> None:
    """Write the file in one piece: others see the old one or the new one."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    # Of this process alone, as several may compile the same.
    part = f"{target}.{os.getpid()}"
    mode = (stat.S_IMODE(facts.st_mode) | 0o200) & 0o666  # as importlib
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(fd, "wb") as file:
            file.write(data)
        os.replace(part, target)
    except BaseException:
        os.unlink(part)
        raise
