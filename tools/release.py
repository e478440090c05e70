"""Looks at what would be released: tools/release.py [--steps STEP,...] [--only SUITE,...]

    version  one place has it, and CHANGELOG.md's top entry is about it
    wheels   all of them are built (tools/wheels.py) and there
    audit    auditwheel finds each to be what its name says, and none is too large
    again    a second build of all in another folder is equal; the sdist has it all (tests/install)
    roots    Debian's bare systems with Python and no compiler install and serve it, in many ways;
             so does one with a shared library in /usr/local/lib, as in Docker's python images
    sdist    the sdist builds in them with a compiler, and serves
    foreign  the wheel for aarch64 serves hello and Flask in qemu, and passes FOREIGN_TESTS
    musl     the wheel for musl does, by a shared libpython and without one, and MUSL_TESTS
    suite    the whole suite, on the wheel instead of a build

One table at the end.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import foreign
import images
import musl
import native
import wheels
from roots import MORE_PYTHONS, SUITES, Failed, Root, command, served

DIST = native.ROOT / "dist"
ROOTS = native.ROOT / "build" / "roots"
# Of Debian 12's package musl: 1.2.3, which musl-tools brings.
MUSL = Path("/lib/ld-musl-x86_64.so.1")
STEPS = ("version", "wheels", "audit", "again", "roots", "sdist", "foreign", "musl", "suite")
FIND = "--no-index --find-links /dist cwsgi"
TOOLS = "/tools/bin"

# How people install it: packages of Debian, what is done, the program.
WAYS = {
    "venv": ("", f"python3 -m venv /venv && /venv/bin/pip install -q {FIND}", "/venv/bin/cwsgi"),
    "virtualenv": (
        "",
        f"{TOOLS}/virtualenv -q /virtual && /virtual/bin/pip install -q {FIND}",
        "/virtual/bin/cwsgi",
    ),
    "uv": (
        "",
        f"{TOOLS}/uv venv -q /uv && VIRTUAL_ENV=/uv {TOOLS}/uv pip install -q {FIND}",
        "/uv/bin/cwsgi",
    ),
    "pipx": (
        "",
        f"PIPX_HOME=/pipx PIPX_BIN_DIR=/pipx/bin {TOOLS}/pipx install --pip-args='"
        f"{FIND.rpartition(' ')[0]}' cwsgi",
        "/pipx/bin/cwsgi",
    ),
    "--target": (
        "python3-pip",
        f"python3 -m pip install -q --target /target {FIND}",
        "env PYTHONPATH=/target /target/bin/cwsgi",
    ),
    "--user": (
        "python3-pip",
        f"python3 -m pip install -q --user --break-system-packages {FIND}",
        "/root/.local/bin/cwsgi",
    ),
    "shared": ("libpython{version}", "true", "/venv/bin/cwsgi"),
}

# Parts of tests/wsgi that are run in qemu and on musl, from outside. The others need packages
# that are not in those roots, this machine's own interpreter, or in qemu a second program, which
# only the kernel could send there, or watch time and memory, of which qemu has its own.
FOREIGN_TESTS = "environ input output errors files flask connections bodies".split()
MUSL_TESTS = [*FOREIGN_TESTS, *"failures forks leaks reference scheduler supervisor".split()]
# What their apps import.
APP_PACKAGES = ("flask", "django", "bottle", "flask-sock", "flask-socketio")
# Memory that is freed goes back to the kernel at once there; others import ssl.
NOT_ON_MUSL = ["input.py::test_uploads_fault_no_pages_in"]
NOT_ON_MUSL += ["bodies.py::test_flask_sock", "bodies.py::test_flask_socketio"]


class Table:
    """What came of it: name, result."""

    def __init__(self):
        self.rows = []

    def add(self, name, result):
        self.rows.append((name, result))
        print(f"   {name}: {result}", flush=True)

    def attempt(self, name, do, *arguments):
        try:
            self.add(name, (do(*arguments) or "ok").strip())
        except (Failed, native.BuildError, AssertionError, subprocess.SubprocessError) as failure:
            print(failure, flush=True)
            self.add(name, "FAILED")

    def show(self):
        width = max(len(name) for name, _ in self.rows)
        print("\n" + "\n".join(f"| {name:{width}} | {result} |" for name, result in self.rows))
        return any(result == "FAILED" for _, result in self.rows)


def step_version(table, options):
    headings = re.findall(r"^## (\S+)", (native.ROOT / "CHANGELOG.md").read_text(), re.M)
    right = headings[0] == native.version()
    table.add("version", native.version() if right else "FAILED")


def step_wheels(table, options):
    for old in DIST.glob("cwsgi-*"):
        old.unlink()
    table.attempt("wheels", wheels.build_all, DIST, set())


def built():
    return sorted(DIST.glob(f"cwsgi-{native.version()}-*.whl"))


def step_audit(table, options):
    for wheel in built():
        table.attempt(wheel.name, audit, wheel)
    table.add("wheels built", str(len(built())) if built() else "FAILED")


def audit(wheel):
    size, tag = wheel.stat().st_size, wheel.stem.split("-")[-1]
    said = wheels.call(sys.executable, "-m", "auditwheel", "show", wheel)
    if not re.search(rf'following platform tag:\s+"{tag}"', said):
        raise Failed(said)
    if size > wheels.MOST:
        raise Failed(f"{wheel.name} has {size} bytes")
    if "musllinux" in tag and MUSL.exists():
        missing = wanted_symbols(wheel) - symbols("--defined-only", MUSL)
        if missing:
            raise Failed(f"{wheel.name}: {MUSL} has no {', '.join(sorted(missing))}")
    return f"ok, {size} bytes"


def symbols(kind, path):
    words = [line.split() for line in wheels.call("nm", "-D", kind, path).splitlines()]
    return {name[-1] for name in words if kind == "--defined-only" or name[0] == "U"}


def wanted_symbols(wheel):
    """What its compiled files want of libc: zig's musl may be newer than the tag says."""
    found = set()
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith((".so", "/scripts/cwsgi")):
                found |= symbols("--undefined-only", archive.extract(name, scratch))
    return {name for name in found if not name.startswith(("Py", "_Py"))}


def step_again(table, options):
    table.attempt("two builds", build_again)
    table.attempt("what is packed", pytest, sys.executable, "tests/install/test_wheels.py")


def build_again():
    """Builds everything in a copy of the tree; all must be equal to the byte."""
    with tempfile.TemporaryDirectory() as scratch:
        tree, folder = wheels.copy_of_the_tree(Path(scratch, "elsewhere")), Path(scratch, "dist")
        wheels.call(sys.executable, "tools/wheels.py", "--folder", folder, cwd=tree)
        first, second = (digests(one) for one in (DIST, folder))
    if first != second:
        raise Failed(f"not equal: {', '.join(sorted(dict(first ^ second)))}")
    return f"{len(first)} files are equal"


def digests(folder):
    return {
        (path.name, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.glob("cwsgi-*")
    }


def pytest(python, *arguments, **variables):
    words = [python, "-m", "pytest", "-q", *map(str, arguments)]
    environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    answer = subprocess.run(words, cwd=native.ROOT, env=environment, capture_output=True, text=True)
    last = answer.stdout.strip().splitlines()[-1]
    if answer.returncode:
        raise Failed(answer.stdout[-20000:])
    return last


def bare(suite, name):
    """A fresh root with the wheels, or the sdist, in /dist."""
    ROOTS.mkdir(parents=True, exist_ok=True)
    root = Root(ROOTS, suite, f"{suite}-{name}")
    root.begin()
    for archive in DIST.glob("*.tar.gz") if name == "sdist" else built():
        root.put(archive, Path("/dist") / archive.name)
    return root


def serve(root, program):
    root.answers(
        f"cd examples/hello && exec {program} --bind 127.0.0.1:{{port}} main:app", "Hello, "
    )


def step_roots(table, options):
    for suite in options.only.split(","):
        root = bare(suite, "release")
        try:
            root.install("python3 python3-venv")
            root.run("! command -v cc && ! command -v gcc && ! command -v clang")
            found = root.run("python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'")
            root.run(f"python3 -m venv /tools && {TOOLS}/pip install -q virtualenv uv pipx")
            for way in WAYS:
                name = f"{suite} {found.strip()} {way}"
                table.attempt(name, install_and_serve, root, way, found.strip())
            for python in MORE_PYTHONS.get(suite, []):
                table.attempt(f"{suite} {python} venv", another, root, python)
        finally:
            shutil.rmtree(root.path)
    table.attempt("as python:3.x-slim", as_official)


def as_official():
    ROOTS.mkdir(parents=True, exist_ok=True)
    root = images.official(ROOTS)
    try:
        for wheel in built():
            root.put(wheel, Path("/dist") / wheel.name)
        root.put(native.ROOT / "examples/hello/main.py", "/src/examples/hello/main.py")
        root.run("test ! -e /usr/bin/python3 && test -e /usr/local/lib/libpython3.so")
        root.run(f"python3 -m venv /venv && /venv/bin/pip install -q {FIND}")
        serve(root, "/venv/bin/cwsgi")
        return root.run("/venv/bin/cwsgi --version")
    finally:
        shutil.rmtree(root.path, ignore_errors=True)


def install_and_serve(root, way, version):
    packages, steps, program = WAYS[way]
    if packages:
        root.install(packages.format(version=version))
    root.run(steps)
    serve(root, program)


def another(root, python):
    root.install(f"{python} {python}-venv")
    root.run(f"{python} -m venv /{python} && /{python}/bin/pip install -q {FIND}")
    serve(root, f"/{python}/bin/cwsgi")


def step_sdist(table, options):
    for suite in options.only.split(","):
        table.attempt(f"{suite} sdist", from_source, suite)


def from_source(suite):
    root = bare(suite, "sdist")
    try:
        root.run(
            "tools/need.sh gcc libc6-dev libuv1-dev zlib1g-dev 'libllhttp-dev|node-llhttp' "
            "python:python3"
        )
        root.run("python3 -m venv /venv && /venv/bin/pip install -q /dist/*.tar.gz")
        serve(root, "/venv/bin/cwsgi")
    finally:
        shutil.rmtree(root.path)


def step_foreign(table, options):
    folder = native.ROOT / "build" / "foreign"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        root = foreign.make(folder)
        cpython, cpu = f"cp{foreign.PYTHON.replace('.', '')}", foreign.CPU
        (wheel,) = DIST.glob(f"cwsgi-{native.version()}-{cpython}-*-manylinux*_{cpu}.whl")
        foreign.install(root, wheel, *APP_PACKAGES)
        foreign.compile_library(root)
        program = "/opt/venv/bin/cwsgi"
        table.attempt(f"{cpu} --version", foreign.output, root, program, "--version")
        for name in ("hello", "flask"):
            shutil.copytree(native.ROOT / "examples" / name, root / name)
            table.attempt(f"{cpu} {name}", serve_foreign, root, name)
        table.attempt(f"{cpu} tests/wsgi", suite_in_qemu, root)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def step_musl(table, options):
    for static in (False, True):
        kind = "static" if static else "shared"
        root = musl.MuslRoot(ROOTS, f"musl-{kind}", static)
        try:
            table.attempt(f"musl {kind} pip install", install_for_musl, root)
            # The library where there is one, unless told otherwise: both ways into Python.
            for door in ("exec",) if static else ("embed", "exec"):
                for name in ("hello", "flask"):
                    table.attempt(f"musl {kind} {door} {name}", serve_on_musl, root, door, name)
            table.attempt(f"musl {kind} tests/wsgi", suite_on_musl, root)
        finally:
            shutil.rmtree(root.path, ignore_errors=True)


def install_for_musl(root):
    ROOTS.mkdir(parents=True, exist_ok=True)
    root.begin()
    cpython = f"cp{musl.PYTHON.replace('.', '')}"
    (wheel,) = DIST.glob(f"cwsgi-{native.version()}-{cpython}-*-musllinux*_{musl.CPU}.whl")
    root.put(wheel, Path("/dist") / wheel.name)
    musl.download(root.path / "dist", *APP_PACKAGES)
    packages = " ".join(APP_PACKAGES)
    root.run(f"python3 -m venv /venv && /venv/bin/pip install -q {FIND} {packages}")
    return root.run("/venv/bin/cwsgi --version")


def serve_on_musl(root, door, name):
    start = f"cd examples/{name} && CWSGI_INTERPRETER={door} exec /venv/bin/cwsgi"
    root.answers(f"{start} --bind 127.0.0.1:{{port}} main:app", "Hello, ")


def serve_foreign(root, name):
    words = ["/opt/venv/bin/cwsgi", "-w", "1", "--chdir", f"/{name}", "main:app", "--bind"]
    served(lambda port, log: foreign.start(root, *words, f"127.0.0.1:{port}", **log), "Hello, ")


def part_of_suite(names, root, *words, slow=1, left_out=()):
    """Parts of tests/wsgi with the server in a root, by these words, and the client outside."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "cwsgi")
        command(root, script, ["/tmp", native.ROOT / "tests", native.ROOT / "examples"], *words)
        chosen = ["-n", "2", "--dist", "loadfile", "-m", "not slow", "--timeout", "200"]
        chosen += [f"--deselect=wsgi/test_{name}" for name in left_out]
        files = [f"tests/wsgi/test_{name}.py" for name in names]
        return pytest(sys.executable, *chosen, *files, CWSGI_BIN=script, CWSGI_TEST_SLOW=slow)


def suite_in_qemu(root):
    words = [f"/{foreign.QEMU}", f"/{foreign.VENV}/bin/cwsgi"]
    return part_of_suite(FOREIGN_TESTS, root, *words, slow=6)


def suite_on_musl(root):
    return part_of_suite(MUSL_TESTS, root.path, "/venv/bin/cwsgi", slow=2, left_out=NOT_ON_MUSL)


def step_suite(table, options):
    venv = wheels.WORK / "suite"
    shutil.rmtree(venv, ignore_errors=True)
    wheels.call(sys.executable, "-m", "venv", venv)
    pip = [venv / "bin" / "pip", "--disable-pip-version-check", "-q", "install"]
    wheels.call(*pip, "-r", native.ROOT / "tools/requirements.txt")
    wheels.call(*pip, "-r", native.ROOT / "tests/requirements.txt")
    wheels.call(*pip, *FIND.replace("/dist", str(DIST)).split())
    everything = ["-n", "2", "--dist", "loadfile", "tests"]
    table.attempt("suite on the wheel", pytest, venv / "bin" / "python", *everything)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--only", default=",".join(SUITES), help="suites")
    options = parser.parse_args()
    steps = options.steps.split(",")
    if {"roots", "sdist"} & set(steps) and (os.getuid() != 0 or not shutil.which("debootstrap")):
        sys.exit("needs root, and debootstrap: apt-get install debootstrap")
    table = Table()
    for name in steps:
        print(f"== {name}", flush=True)
        globals()[f"step_{name}"](table, options)
    return 1 if table.show() else 0


if __name__ == "__main__":
    sys.exit(main())
