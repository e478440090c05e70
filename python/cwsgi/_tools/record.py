"""``cwsgi record``: writes the list of what a start reads, for ``--prefetch``.

What the app opens and imports is known from audit events, in order; of the libraries that are
mapped the kernel tells the pages that were touched (/proc/self/pagemap), for which no rights are
needed. Nothing is watched from outside: fanotify and ptrace are not for everybody.
"""

import argparse
import json
import os
import re
from typing import Any

from .._boot_trace import put_file
from . import ToolError, _start

USAGE = "cwsgi record [--output FILE] [--format FORMAT] [--serve] [OPTIONS OF CWSGI] APP"
HEAD = "cwsgi-prefetch 1"  # and the name cwsgi.prefetch: csrc/supervisor/prefetch_list.h
FORMATS = ("prefetch", "estargz", "nydus", "soci")


def main(program: str, args: "list[str]") -> int:
    """Record, and return 0."""
    parser = argparse.ArgumentParser(
        prog="cwsgi record",
        usage=USAGE,
        allow_abbrev=False,
        description="Imports an app as a worker would, and writes which files, and what of them, "
        "that has read. A server that finds the list reads them ahead (--prefetch).",
    )
    parser.add_argument(
        "--output", metavar="FILE", help="where to write; default cwsgi.FORMAT in the app's folder"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=FORMATS[0],
        help="prefetch, for cwsgi, or the hints of a lazy image format",
    )
    parser.add_argument(
        "--serve",
        action="store_true",
        help="go on until the port opens: with on_startup functions, lifespan and --warmup",
    )
    options, words = parser.parse_known_args(args)
    if not words:
        parser.error("no app was named; try: cwsgi record main:app")
    data = _start.traced(program, words, options.serve)
    path = options.output or os.path.join(data["folder"], f"cwsgi.{options.format}")
    if options.format == "prefetch":
        head = [HEAD, f"# {data['app']}, Python {data['python']}"]
        text = "\n".join([*head, *entries_of(data)]) + "\n"
    else:
        text = hints_of(data, options.format)
    try:
        put_file(path, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise ToolError(f"cannot write {path}: {error.strerror}") from None
    size = sum(length_of(one) for one in data["files"])
    print(f"{path}: {len(data['files'])} files, {size / (1 << 20):.1f} MiB")
    return 0


def length_of(file: "dict[str, Any]") -> int:
    ranges = file.get("ranges")
    length: int = sum(length for _, length in ranges) if ranges else file["bytes"]
    return length


def entries_of(data: "dict[str, Any]") -> "list[str]":
    """Return the lines of the list, in the order in which a start needs them."""
    listed = {file["path"] for file in data["files"]}
    # Python asks for the time of a source, and opens it where there is no .pyc.
    sources = {c: s for s, c in data["sources"] if s not in listed and "\n" not in s}
    lines = []
    for file in in_order(data["files"]):
        path, ranges = file["path"], file.get("ranges")
        if "\n" in path:
            continue
        if path in sources:
            lines.append(f"0+0 {sources[path]}")
        what = ",".join(f"{offset}+{length}" for offset, length in ranges) if ranges else "*"
        lines.append(f"{what} {path}")
    return lines


def hints_of(data: "dict[str, Any]", form: str) -> str:
    """Return the files that a start reads as the tool of a lazy image format takes them.

    A layer has a file by the name without links. Names have to be UTF-8 for all of these tools.
    """
    found = dict.fromkeys(os.path.realpath(file["path"]) for file in in_order(data["files"]))
    paths = [path for path in found if not re.search("[\n\ud800-\udfff]", path)]
    if form == "soci":
        return json.dumps(paths, indent=0) + "\n"
    lines = paths if form == "nydus" else [json.dumps({"path": path[1:]}) for path in paths]
    return "".join(f"{line}\n" for line in lines)


def in_order(files: "list[dict[str, Any]]") -> "list[dict[str, Any]]":
    """Put each library in front of the first extension module that needs it.

    The trace has libraries that no import has named first: libpython and libc, which are, and
    those that came with an extension module. Whoever needs a library has its name inside.
    """
    place = {file["path"]: float(i) for i, file in enumerate(files)}
    opened = {file["path"] for file in files if file.get("opened")}
    shared = [path for path in place if ".so" in os.path.basename(path)]
    early = [path for path in shared if path not in opened]
    programs = [path for path in place if path not in opened and path not in shared]
    contents = {path: read(path) for path in {*shared, *programs}}

    def needed(users: "list[str]", among: "list[str]") -> "list[str]":
        return [
            path
            for path in among
            if path not in users and any(soname(path) in contents[user] for user in users)
        ]

    # What the interpreter itself needs stays where it is.
    users = [*programs, *(path for path in early if "libpython" in path)]
    while users:
        early = [path for path in early if path not in users]
        users = needed(users, early)
    for extension in (path for path in shared if path in opened):
        users, step = [extension], 1
        while users:
            users = needed(users, early)
            early = [path for path in early if path not in users]
            for path in users:
                place[path] = place[extension] - step / 100
            step += 1
    return sorted(files, key=lambda file: place[file["path"]])


def soname(path: str) -> bytes:
    """Return ``libx.so.1`` for ``/usr/lib/libx.so.1.2.3``."""
    stem, _, version = os.path.basename(path).partition(".so")
    return os.fsencode(f"{stem}.so{'.'.join(version.split('.')[:2])}")


def read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
