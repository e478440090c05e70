"""A root with a CPython for musl in /usr/local, laid out as python:3.x-alpine is.

    tools/musl.py

Made once, below build/musl: Debian's sources of CPython and zlib, compiled by musl-gcc (Debian's
musl-tools) against the oldest musl that wheels for musllinux_1_2 have to run on; busybox is its
shell. There are two interpreters of the same objects: one with a shared libpython, and one that
has it all inside, beside which no library is. Extension modules of the standard library are
shared objects; those that need other libraries than zlib (ssl, ctypes, sqlite3, ...) are not there.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import native
import wheels
from roots import Root

SUITE, PYTHON = "trixie", "3.13"
CPU = "x86_64"
WORK = native.ROOT / "build" / "musl"
LOADER = Path(f"/lib/ld-musl-{CPU}.so.1")
COMPILER = "musl-gcc"
# Headers of the kernel, which musl-gcc leaves out with all else of the system's.
KERNEL = ("linux", "asm-generic", "mtd")
# What gcc says of itself would name the modules after glibc.
WRAPPER = f"""\
#!/bin/sh
case " $* " in *" --print-multiarch "*) echo {CPU}-linux-musl; exit;; esac
exec {COMPILER} "$@" -idirafter HEADERS
"""
# Of no use in an image, as in Docker's.
LEFT_OUT = ("test", "idlelib", "tkinter", "turtledemo")
PLATFORMS = [f"musllinux_1_{minor}_{CPU}" for minor in (2, 1)]


def sources(folder):
    """Debian's, unpacked: CPython's folder and zlib's."""
    environment = wheels.private_apt(SUITE, kind="deb-src")
    names = ["--tar-only", "--download-only", f"python{PYTHON}"]
    wheels.call("apt-get", "source", "-qq", *names, cwd=folder, env=environment)
    (archive,) = folder.glob("*.orig.tar.*")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (python,) = folder.glob("Python-*/")
    # Its configure writes where the source is.
    return python, shutil.copytree(wheels.zlib_source(), folder / "zlib")


def compiler(folder):
    """A command that compiles for musl, with the kernel's headers."""
    if not shutil.which(COMPILER) or not LOADER.exists():
        raise native.BuildError(f"{COMPILER} not found: apt-get install musl-tools")
    headers = folder / "headers"
    headers.mkdir()
    for name in KERNEL:
        (headers / name).symlink_to(f"/usr/include/{name}")
    (headers / "asm").symlink_to(f"/usr/include/{CPU}-linux-gnu/asm")
    command = folder / "cc"
    command.write_text(WRAPPER.replace("HEADERS", str(headers)))
    command.chmod(0o755)
    return command


def compile_all(folder, root):
    """Compiles CPython in a folder, and installs it below `root`."""
    python, zlib = sources(folder)
    cc, jobs = compiler(folder), f"-j{len(os.sched_getaffinity(0))}"
    wheels.call(
        "./configure", "--static", cwd=zlib, env={**os.environ, "CC": cc, "CFLAGS": "-O2 -fPIC"}
    )
    wheels.call("make", jobs, "libz.a", cwd=zlib)
    build = folder / "build"
    build.mkdir()
    # pkg-config would find this machine's libraries, which are for glibc.
    found = [f"ZLIB_CFLAGS=-I{zlib}", f"ZLIB_LIBS={zlib}/libz.a", "PKG_CONFIG=/bin/false"]
    options = ["--prefix=/usr/local", "--enable-shared", "--with-ensurepip=no"]
    options += ["--disable-test-modules", "--without-static-libpython"]
    wheels.call(
        python / "configure", f"CC={cc}", *found, *options, f"--build={CPU}-linux-musl", cwd=build
    )
    wheels.call("make", jobs, cwd=build)
    wheels.call("make", "install", f"DESTDIR={root}", cwd=build)
    archive = f"libpython{PYTHON}.a"
    wheels.call("make", archive, cwd=build)
    whole = ["-Wl,-export-dynamic", "-Wl,--whole-archive", archive, "-Wl,--no-whole-archive"]
    static = root / "usr/local/bin/static-python"
    wheels.call(cc, "Programs/python.o", *whole, "-ldl", "-lm", "-o", static, cwd=build)


def slimmed(root):
    """Takes away what an image has no use for."""
    local = root / "usr/local"
    library = local / "lib" / f"python{PYTHON}"
    for name in LEFT_OUT:
        shutil.rmtree(library / name, ignore_errors=True)
    for cache in [*root.rglob("__pycache__"), *library.glob("config-*")]:
        shutil.rmtree(cache)
    compiled = [*library.glob("lib-dynload/*.so"), *(local / "lib").glob("*.so.*")]
    compiled += [local / "bin/static-python", local / "bin" / f"python{PYTHON}"]
    wheels.call("strip", "-s", *compiled)


def system(folder, root):
    """musl's loader, which is libc too, and a shell."""
    for name in ("bin", "lib", "proc", "dev", "sys", "etc", "root", "tmp", "src"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    shutil.copy(LOADER, root / "lib")
    environment = wheels.private_apt(SUITE)
    wheels.call("apt-get", "download", "-q", "busybox-static", cwd=folder, env=environment)
    (package,) = folder.glob("busybox-static*.deb")
    wheels.call("dpkg-deb", "-x", package, folder / "busybox")
    (busybox,) = (folder / "busybox").glob("**/bin/busybox")
    shutil.copy(busybox, root / "bin")
    for name in wheels.call(busybox, "--list").split():
        if not (root / "bin" / name).exists():
            (root / "bin" / name).symlink_to("busybox")


def made():
    """The root that every other is a copy of, made where it is missing."""
    for work in (WORK, wheels.WORK):
        work.mkdir(parents=True, exist_ok=True)
    recipe = hashlib.sha256(Path(__file__).read_bytes() + LOADER.read_bytes()).hexdigest()[:16]
    root = WORK / f"root-{recipe}"
    with open(WORK / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            print(f"   CPython {PYTHON} for musl: some minutes", flush=True)
            with tempfile.TemporaryDirectory(dir=WORK) as scratch:
                unfinished = Path(scratch, "root")
                system(Path(scratch), unfinished)
                compile_all(Path(scratch), unfinished)
                slimmed(unfinished)
                unfinished.rename(root)
    return root


def download(folder, *names):
    """Wheels for that system, of the index."""
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "download"]
    pip += ["--only-binary", ":all:", "--python-version", PYTHON, "-d", folder]
    wheels.call(*pip, *(f"--platform={one}" for one in PLATFORMS), *names)


class MuslRoot(Root):
    """A copy of it below a folder; `static`: with the interpreter that has all inside."""

    def __init__(self, folder, name, static=False):
        super().__init__(folder, "musl", name)
        self.static = static

    def bare(self):
        return made()

    def prepare(self):
        local = self.path / "usr/local"
        static = local / "bin/static-python"
        if self.static:
            for library in (local / "lib").glob("libpython*"):
                library.unlink()
            static.rename(local / "bin" / f"python{PYTHON}")
        else:
            static.unlink()


def main():
    try:
        print(made())
    except (native.BuildError, subprocess.SubprocessError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
