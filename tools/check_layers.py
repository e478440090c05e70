"""Checks csrc/: which folder includes what, which file calls which, lengths, headers; that
docs/architecture.md has a line for each file, and that unit tests are named after modules.

A file is a .c file; it calls another one of its folder where it names something that the
other defines for others to use: such names begin with cw_.
"""

import collections
import functools
import graphlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import native

# Folder: what it may include beside itself and libc.
ALLOWED = {
    "launcher": {"supervisor/", "base/"},
    "supervisor": {"base/"},
    "worker": {"Python.h", "uv.h", "asgi/", "wsgi/", "http/", "base/"},
    "asgi": {
        "Python.h",
        "wsgi/",
        "http/app.h",
        "http/async.h",
        "http/resp.h",
        "http/ws.h",
        "base/",
    },
    "wsgi": {"Python.h", "http/app.h", "http/resp.h", "base/"},
    "http": {"uv.h", "llhttp.h", "zlib.h", "base/"},
    "base": set(),
}

# System headers that belong to a library, by the name under which ALLOWED has it.
LIBRARIES = {
    "Python.h": r"(Python|structmember|datetime|frameobject|pythread)\.h|(cpython|internal)/.*",
    "uv.h": r"uv(\.h|/.*)",
    "llhttp.h": r"llhttp\.h",
    "zlib.h": r"(zlib|zconf)\.h",
}

# Calls up, from a file to one that calls it, too: each with its reason.
UPWARD = {
    ("http", "conn", "server"): "a connection and the server that it is a child of",
    ("worker", "sched_async", "sched"): "the event loop's thread and those beside it",
    ("worker", "sched_keeper", "sched"): "the keeper and the threads it stands in for",
}

# Who calls fork(2): all others have base/child.c do it.
FORKS = {"base/child.c", "supervisor/identity.c", "worker/zygote.c"}

# Lines. A table of data may be longer.
LONGEST = {".c": 600, ".h": 150}
LONGER = {
    "base/options_foreign.h": "a table",
    "base/options_table.h": "a table",
}

# Unit tests of no single module.
UNIT_TESTS_OF_MANY = {"faults": "every allocation of http/"}

# Where the source map is, and whose files it lists.
MAP = "docs/architecture.md"
MAPPED = (
    "csrc/*/*.[ch]",
    "python/cwsgi/*.py*",
    "python/cwsgi/_tools/**/*.py",
    "python/cwsgi/py.typed",
    "python/cwsgi/*.html",
    "tools/*.*",
)

COMMENT_OR_TEXT = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\])*"', re.S)
DEFINED = re.compile(r"^(?!static\b)\w[^;{}()#]*?\b(cw_\w+)\s*(?:\([^;{]*\)\s*\{|=|\[|;)", re.M)

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def complaints_about(path):
    folder, text = path.parent.name, path.read_text()
    allowed = ALLOWED[folder] | {f"{folder}/"}
    if not text.startswith("/* SPDX-License-Identifier: "):
        yield "does not open with an SPDX line"
    for quote, name in INCLUDE.findall(text):
        if quote == "<":
            name = next(
                (lib for lib, names in LIBRARIES.items() if re.fullmatch(names, name)), None
            )
        if name and name.endswith("_internal.h") and not name.startswith(f"{folder}/"):
            yield f"{name} is another folder's own"
        if name and name not in allowed and name.split("/")[0] + "/" not in allowed:
            yield f"{folder}/ may not include {name}"
    length, name = text.count("\n"), f"{folder}/{path.name}"
    if length > LONGEST[path.suffix] and name not in LONGER:
        yield f"has {length} lines, {LONGEST[path.suffix]} are the most"
    if name not in FORKS and re.search(r"\bv?fork\(\)", COMMENT_OR_TEXT.sub("", text)):
        yield "forks: cw_child_fork() does"
    if path.suffix == ".h" and "no guard on purpose" not in text:
        if not re.search(r"^#ifndef (CW_\w+_H)\n#define \1\n", text, re.M):
            yield "has no guard CW_..._H"
        yield from alone(path)


@functools.cache
def libraries():
    cc = native.compiler()
    found = native.find_llhttp(cc), native.find_libuv(cc), native.find_zlib(cc)
    return [flag for library in found for flag in library.cflags]


def alone(path):
    """What the compiler says to a file that includes nothing but this header."""
    cc = native.compiler()
    command = [
        *cc,
        *native.BASE_FLAGS,
        *libraries(),
        *native.python_flags(),
        "-fsyntax-only",
        "-x",
        "c",
        str(path),
    ]
    answer = subprocess.run(command, cwd=native.ROOT, capture_output=True, text=True)
    if answer.returncode:
        yield f"does not compile alone:\n{answer.stderr}"


def calls(paths):
    """Of each file of one folder, the others of it that it calls."""
    texts = {path.stem: COMMENT_OR_TEXT.sub("", path.read_text()) for path in paths}
    home = {name: stem for stem, text in texts.items() for name in DEFINED.findall(text)}
    return {
        stem: {home[name] for name in re.findall(r"\bcw_\w+", text) if name in home} - {stem}
        for stem, text in texts.items()
    }


def circles(folder):
    """Complaints about files that call each other in a circle."""
    graph = calls(sorted((native.ROOT / "csrc" / folder).glob("*.c")))
    for up in [up for up in UPWARD if up[0] == folder]:
        if up[2] not in graph.get(up[1], ()):
            yield f"{folder}/{up[1]}.c does not call {up[2]}.c any more: see UPWARD"
        graph[up[1]].discard(up[2])
    try:
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        yield f"{folder}/: calls in a circle: {' < '.join(error.args[1])}"


def listed(text):
    """Files that a page's source map names, each as often as it does."""
    folder, files = "", []
    for line in text.partition("\n## Source map\n")[2].splitlines():
        if line.startswith("### "):
            folder = line.removeprefix("### ")
        elif found := re.match(r"- `([^`]+)` \S", line):
            files.append(folder + found[1])
    return files


def unmapped(files, text):
    """Complaints about a source map that does not list each of these files once."""
    times = collections.Counter(listed(text))
    for file in sorted({*files, *times}):
        if file not in files:
            yield f"{MAP}: {file} is not there"
        elif times[file] != 1:
            yield f"{MAP}: {file} has {times[file] or 'no'} line{'s' * (times[file] > 1)}"


def strays(tests):
    """Complaints about unit tests, by file name, that are not named after a module."""
    modules = {path.stem for path in (native.ROOT / "csrc").glob("*/*.[ch]")}
    for test in sorted(tests):
        name = test.removeprefix("test_").removesuffix(".c")
        if name not in modules | set(UNIT_TESTS_OF_MANY):
            yield f"tests/unit/{test}: there is no module {name}"


def mapped_files():
    """What has to be in the source map."""
    found = [path for pattern in MAPPED for path in native.ROOT.glob(pattern)]
    return {str(path.relative_to(native.ROOT)) for path in found}


def main():
    paths = sorted((native.ROOT / "csrc").glob("*/*.[ch]"))
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda path: list(complaints_about(path)), paths))
    for path, complaints in zip(paths, found, strict=True):
        for complaint in complaints:
            print(f"{path.relative_to(native.ROOT)}: {complaint}")
    around = [complaint for folder in ALLOWED for complaint in circles(folder)]
    around += strays(path.name for path in (native.ROOT / "tests" / "unit").glob("*.c"))
    around += unmapped(mapped_files(), (native.ROOT / MAP).read_text())
    for complaint in around:
        print(complaint)
    return 1 if any(found) or around else 0


if __name__ == "__main__":
    sys.exit(main())
