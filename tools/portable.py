"""Compiles csrc/ against musl, with warnings as errors: what only glibc has is told at once.

$MUSL_CC is the compiler, else musl-gcc (Debian's musl-tools). Nothing is linked: libuv,
llhttp, zlib and Python are this machine's, of which the headers alone are needed.
"""

import os
import shlex
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import native

DEFINES = ("CW_VERSION", "CW_PY_VERSION", "CW_PY_LIBRARY", "CW_PY_MULTIARCH")
DEFINES += ("CW_UV_VERSION", "CW_LLHTTP_VERSION", "CW_ZLIB_VERSION")


def compiler():
    command = shlex.split(os.environ.get("MUSL_CC", "musl-gcc"))
    if not shutil.which(command[0]):
        raise native.BuildError(f"{command[0]} not found: apt-get install musl-tools")
    return command


def borrow(folder):
    """Links the headers outside of libc into a folder: the system's own holds glibc's too."""
    system = Path("/usr/include")
    machine = native.run([*native.compiler(), "-dumpmachine"]).stdout.strip()
    names = ["linux", "asm-generic", "uv.h", "uv", "zlib.h"]
    names += [str(path.relative_to(system)) for path in system.glob("python3*")]
    names += [str(path.relative_to(system)) for path in (system / machine).glob("python3*")]
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(system / name)
    (folder / "asm").symlink_to(system / machine / "asm")
    zconf = next(
        place / "zconf.h" for place in (system / machine, system) if (place / "zconf.h").exists()
    )
    (folder / "zconf.h").symlink_to(zconf)


def main():
    try:
        cc = compiler()
        llhttp = native.find_llhttp(native.compiler())
        sources = sorted((native.ROOT / "csrc").glob("*/*.c"))
        with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor() as pool:
            borrow(Path(scratch))
            flags = [*native.BASE_FLAGS, *native.WARNINGS, "-Werror", "-O1", "-fsyntax-only"]
            flags += [f'-D{name}="0"' for name in DEFINES]
            # As pyconfig.h has it since 3.14 where Python was built with glibc.
            flags += ["-DHAVE_BACKTRACE=1", "-DHAVE_EXECINFO_H=1"]
            flags += [*native.python_flags(), f"-I{scratch}"]
            commands = [[*cc, *flags, *llhttp.cflags, str(source)] for source in sources]
            answers = list(pool.map(native.run, commands))
    except native.BuildError as error:
        sys.exit(str(error))
    for answer in answers:
        print(answer.stderr, end="")
    return 1 if any(answer.returncode for answer in answers) else 0


if __name__ == "__main__":
    sys.exit(main())
