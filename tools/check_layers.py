"""Checks csrc/: which folder includes what, header guards, headers that compile alone."""

import functools
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import native

# Folder: what it may include beside itself and libc.
ALLOWED = {
    "launcher": {"supervisor/", "base/"},
    "supervisor": {"base/"},
    "worker": {"Python.h", "uv.h", "wsgi/", "http/", "base/"},
    "wsgi": {"Python.h", "http/app.h", "base/"},
    "http": {"uv.h", "llhttp.h", "base/"},
    "base": set(),
}

# System headers that belong to a library, by the name under which ALLOWED has it.
LIBRARIES = {
    "Python.h": r"(Python|structmember|datetime|frameobject|pythread)\.h|(cpython|internal)/.*",
    "uv.h": r"uv(\.h|/.*)",
    "llhttp.h": r"llhttp\.h",
}

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
        if name and name not in allowed and name.split("/")[0] + "/" not in allowed:
            yield f"{folder}/ may not include {name}"
    if path.suffix == ".h" and "no guard on purpose" not in text:
        if not re.search(r"^#ifndef (CW_\w+_H)\n#define \1\n", text, re.M):
            yield "has no guard CW_..._H"
        yield from alone(path)


@functools.cache
def libraries():
    cc = native.compiler()
    return native.find_llhttp(cc).cflags + native.find_libuv(cc).cflags


def alone(path):
    """What the compiler says to a file that includes nothing but this header."""
    cc = native.compiler()
    includes = [f"-I{folder}" for folder in native.python_includes()]
    command = [
        *cc,
        *native.BASE_FLAGS,
        *libraries(),
        *includes,
        "-fsyntax-only",
        "-x",
        "c",
        str(path),
    ]
    answer = subprocess.run(command, cwd=native.ROOT, capture_output=True, text=True)
    if answer.returncode:
        yield f"does not compile alone:\n{answer.stderr}"


def main():
    paths = sorted((native.ROOT / "csrc").glob("*/*.[ch]"))
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda path: list(complaints_about(path)), paths))
    for path, complaints in zip(paths, found, strict=True):
        for complaint in complaints:
            print(f"{path.relative_to(native.ROOT)}: {complaint}")
    return 1 if any(found) else 0


if __name__ == "__main__":
    sys.exit(main())
