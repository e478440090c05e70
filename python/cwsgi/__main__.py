"""`python -m cwsgi ARGS`: runs the program `cwsgi ARGS` with this interpreter."""

import os
import signal
import sys
import sysconfig
from collections.abc import Iterator
from typing import NoReturn

PROGRAM = "cwsgi"


def candidates() -> Iterator[str]:
    """Where the program may be, the place that goes with this very package first."""
    packages = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    schemes = [sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user")]
    scripts = []
    for scheme in schemes:
        paths = sysconfig.get_paths(scheme)
        scripts.append(os.path.join(paths["scripts"], PROGRAM))
        if packages in (paths["purelib"], paths["platlib"]):
            yield scripts[-1]
    # pip install --target puts bin/ beside the packages.
    yield os.path.join(packages, "bin", PROGRAM)
    yield from recorded()
    yield from scripts


def recorded() -> Iterator[str]:
    """Where the installer says it put the program."""
    # Imported here because it is slow and seldom needed.
    from importlib import metadata

    try:
        files = metadata.files("cwsgi")
    except metadata.PackageNotFoundError:
        return
    for file in files or ():
        if file.name == PROGRAM:
            yield os.path.normpath(str(file.locate()))


def find_program() -> str | None:
    for path in candidates():
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def flags() -> list[str]:
    """Return this interpreter's own options: what stands in front of its ``-m`` or script."""
    found = []
    words = iter(sys.orig_argv[1:])
    for word in words:
        if not word.startswith("-") or word in ("-", "--") or word[1] in "mc":
            break
        found.append(word)
        if word in ("-W", "-X", "--check-hash-based-pycs"):
            found.append(next(words, ""))
        elif word[1] != "-" and word[1] not in "WX" and word[-1] in "mc":
            found[-1] = word[:-1]
            break
    return found


def run(arguments: list[str]) -> NoReturn:
    """Turn this process into the program with these arguments, served by this interpreter.

    Workers get its options and its sys.path: a tool such as PEX may have put that together.
    """
    program = find_program()
    if program is None:
        sys.exit(
            f"cwsgi: the program `{PROGRAM}` was not found; pip install --force-reinstall cwsgi"
        )
    if sys.executable:
        os.environ["CWSGI_PYTHON"] = sys.executable
        os.environ["CWSGI_PYTHON_FLAGS"] = "\x1f".join(flags())
        # The first entry is where `-m` and scripts run, which workers see to themselves.
        path = sys.path[1:] if sys.path[:1] in ([""], [os.getcwd()]) else sys.path
        os.environ["CWSGI_SYS_PATH"] = os.pathsep.join(map(os.path.abspath, path))
    # Python ignores these two, and what is ignored stays so across exec.
    for name in ("SIGPIPE", "SIGXFSZ"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execv(program, [program, *arguments])
    except OSError as error:
        sys.exit(f"cwsgi: {program}: {error.strerror}")


def main() -> NoReturn:
    run(sys.argv[1:])


if __name__ == "__main__":
    main()
