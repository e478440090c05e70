"""Runs clang-tidy over csrc/ with the checks of .clang-tidy, for `make lint`.

It is pinned as the formatter is, so that everybody is told the same. The headers that belong to
the compiler (stddef.h) are those of this machine's clang.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import native
from portable import DEFINES

TIDY = Path(sys.executable).with_name("clang-tidy")
AT_ONCE = 8  # files: a process costs more than a file


def flags():
    cc = native.compiler()
    answer = native.run(["clang", "-print-resource-dir"])
    if answer.returncode:
        raise native.BuildError("clang not found: apt-get install clang")
    return [
        *native.BASE_FLAGS,
        *native.find_llhttp(cc).cflags,
        *native.find_libuv(cc).cflags,
        *native.find_zlib(cc).cflags,
        *native.python_flags(),
        *(f'-D{name}="0"' for name in DEFINES),
        "-DCW_DEBUG=1",
        f"-resource-dir={answer.stdout.strip()}",
    ]


def look_at(files, options):
    """What is wrong with these files, as text."""
    command = [str(TIDY), "--quiet", *map(str, files), "--", *options]
    answer = subprocess.run(command, cwd=native.ROOT, capture_output=True, text=True)
    return (answer.stdout.strip() or answer.stderr) if answer.returncode else ""


def main():
    try:
        options = flags()
    except native.BuildError as error:
        sys.exit(str(error))
    files = sorted((native.ROOT / "csrc").glob("*/*.c"))
    batches = [files[i : i + AT_ONCE] for i in range(0, len(files), AT_ONCE)]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda batch: look_at(batch, options), batches))
    for text in filter(None, found):
        print(text)
    return 1 if any(found) else 0


if __name__ == "__main__":
    sys.exit(main())
