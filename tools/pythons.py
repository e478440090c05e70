"""Runs the tests in environments of their own, under build/.

tools/pythons.py others [PYTEST ARGUMENTS]            every other CPython on this machine
tools/pythons.py sanitized LIST [PYTEST ARGUMENTS]    a build with -fsanitize=LIST
tools/pythons.py faults [PYTEST ARGUMENTS]            the same with ASan, allocations failing
tools/pythons.py list                                 what "others" would take
"""

import os
import re
import shutil
import subprocess
import sys
from glob import glob
from pathlib import Path

import native

OLDEST = (3, 10)
# Sanitized code runs several times slower; the suite's time limits grow by this.
SLOWER = {"address": "4", "thread": "10"}

# Fails where the interpreter is too old, has no headers or cannot make a venv.
QUESTION = f"""\
import ensurepip, os, sys, sysconfig, venv
os.stat(sysconfig.get_path("include") + "/Python.h")
if sys.implementation.name != "cpython" or sys.version_info < {OLDEST}:
    sys.exit(1)
print("%d.%d.%d%s" % (*sys.version_info[:3], sys.abiflags))
"""


def version_of(python):
    """A CPython's version, or None where it is none that can be used."""
    try:
        answer = subprocess.run(
            [python, "-I", "-c", QUESTION], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def other_pythons():
    """One CPython of each version that is not this interpreter's own."""
    names = [f"python3.{minor}{free}" for minor in range(OLDEST[1], 30) for free in ("", "t")]
    paths = glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python3"))
    paths += filter(None, map(shutil.which, ["python3", *names]))
    paths += ["/usr/bin/python3", "/usr/local/bin/python3"]
    found = {}
    for path in paths:
        version = version_of(path)
        if version and version != version_of(sys.executable):
            found.setdefault(version, path)
    return sorted(found.items(), key=lambda item: [int(n) for n in re.findall(r"\d+", item[0])])


def environment(python, folder, **variables):
    """A venv with the project, built with these variables set, and what the tests need."""
    program = str(folder / "bin" / "python")
    if not os.path.exists(program):
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
    pip = [program, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    for command in (
        [*pip, "-r", "tests/requirements.txt", "setuptools>=77.0.3"],
        [*pip, "--no-build-isolation", "--no-deps", "--force-reinstall", "."],
    ):
        if subprocess.run(command, cwd=native.ROOT, env={**os.environ, **variables}).returncode:
            sys.exit(f"could not set up {folder}")
    return program


def pytest(python, arguments, **variables):
    """Runs pytest; returns whether it passed."""
    env = {**os.environ, "CWSGI_BIN": str(Path(python).with_name("cwsgi")), **variables}
    command = [python, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=native.ROOT, env=env).returncode == 0


def others(arguments):
    passed = True
    for name, path in other_pythons():
        print(f"== CPython {name} ({path})", flush=True)
        python = environment(path, native.ROOT / "build" / f"venv-{name}")
        good = pytest(python, arguments or ["tests/wsgi"])
        if not good:
            print(f"FAILED with CPython {name}", flush=True)
        passed &= good
    return passed


def faults(arguments):
    return sanitized(["address,undefined", *arguments], "-faults", CWSGI_FAULTS="1")


def sanitized(arguments, name="", **build):
    sanitize, *arguments = arguments
    kind = "thread" if "thread" in sanitize else "address"
    print(f"== built with -fsanitize={sanitize}", *build, flush=True)
    # The interpreter itself, not the venv that runs this.
    python = environment(
        os.path.realpath(sys.executable),
        native.ROOT / "build" / f"venv-{kind}{name}",
        CWSGI_SANITIZE=sanitize,
        **build,
    )
    preload = f"LD_PRELOAD={native.runtime(sanitize)}"
    slow = os.environ.get("CWSGI_TEST_SLOW", SLOWER[kind])
    variables = {
        "CWSGI_SANITIZE": sanitize,
        "CWSGI_TEST_SLOW": slow,
        # CPython keeps memory to its end; what is lost is looked for by `make leak`.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:quarantine_size_mb=1"
        ":detect_stack_use_after_return=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        # --preload forks where threads may run; what it does then is plain C.
        "TSAN_OPTIONS": f"suppressions={native.ROOT}/tools/tsan.supp:exitcode=66:die_after_fork=0",
    }
    if kind == "address":
        # An interpreter that loads _core needs the runtime from its start.
        variables["LD_PRELOAD"] = native.runtime(sanitize)
    else:
        # Some programs crash under TSan's runtime (bash does): only the server gets it.
        variables["CWSGI_BIN"] = f"env {preload} {Path(python).with_name('cwsgi')}"
    limit = f"--timeout={60 * float(slow):.0f}"
    return pytest(python, [limit, *(arguments or ["tests"])], **variables)


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "list":
        for name, path in other_pythons():
            print(name, path)
        return 0
    if len(sys.argv) < 2 or sys.argv[1] not in ("others", "sanitized", "faults"):
        sys.exit(__doc__)
    return 0 if globals()[sys.argv[1]](sys.argv[2:]) else 1


if __name__ == "__main__":
    sys.exit(main())
