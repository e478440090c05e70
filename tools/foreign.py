"""A root for another kind of processor, made of Debian's packages, whose programs run in qemu.

Packages are unpacked and not installed: what would do that is made for that processor. One
program at a time can be run, since the kernel does not know whom to ask about the others: a
cwsgi whose Python has a shared library starts no other.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import native
import pythons
import wheels

SUITE, PYTHON = "trixie", "3.13"
CPU, ARCHITECTURE = "aarch64", "arm64"
QEMU = f"qemu-{CPU}-static"
PACKAGES = [
    *(f"{name}{PYTHON}{end}" for name, end in (("python", "-minimal"), ("libpython", ""))),
    *(f"libpython{PYTHON}-{end}" for end in ("minimal", "stdlib")),
    *("base-files", "libc6", "libgcc-s1", "zlib1g", "libexpat1", "libssl3t64", "libffi8"),
    *("libbz2-1.0", "liblzma5", "libuuid1", "libzstd1", "libsqlite3-0"),
]
VENV = "opt/venv"
SITE = f"{VENV}/lib/python{PYTHON}/site-packages"

# Runs in a mount namespace of its own.
ENTER = """\
set -e
root=$1 qemu=$2; shift 2
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" "/$qemu" "$@"
"""


def make(folder):
    """Unpacks it all below a folder, which is empty."""
    scratch, root = folder / "packages", folder / "root"
    scratch.mkdir(parents=True)
    # As in Debian's own, where these are links.
    for name in ("bin", "lib", "sbin"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    environment = wheels.private_apt(SUITE, ARCHITECTURE)
    wheels.call("apt-get", "download", "-q", *PACKAGES, cwd=scratch, env=environment)
    for package in scratch.glob("*.deb"):
        files = subprocess.run(
            ["dpkg-deb", "--fsys-tarfile", package], check=True, stdout=subprocess.PIPE
        )
        tar = ["tar", "x", "--keep-directory-symlink", "-C", root]
        subprocess.run(tar, check=True, input=files.stdout)
    shutil.copy(shutil.which(QEMU), root)
    for name in ("proc", "dev", f"{VENV}/bin", SITE):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / VENV / "bin" / "python3").symlink_to(f"/usr/bin/python{PYTHON}")
    (root / VENV / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {PYTHON}\n")
    return root


def install(root, wheel, *others):
    """What pip would do with the wheel; `others` come from the index, as wheels for that system."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if ".data/scripts/" in name:
                program = root / VENV / "bin" / Path(name).name
                program.write_bytes(archive.read(name))
                program.chmod(0o755)
            else:
                archive.extract(name, root / SITE)
    if others:
        pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "install"]
        pip += ["--only-binary", ":all:", "--python-version", PYTHON, "--target", root / SITE]
        pip += ["--platform", f"manylinux_2_28_{CPU}", "--platform", f"manylinux2014_{CPU}"]
        wheels.call(*pip, *others)


def compile_library(root):
    """Makes .pyc files, without which a start takes half a minute: the same for all machines."""
    folders = (f"/usr/lib/python{PYTHON}", f"/{SITE}")
    compile_all = ["-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    for version, python in pythons.other_pythons():
        if version.startswith(f"{PYTHON}.") and not version.endswith("t"):
            moved = ["-s", root, "-p", "/", *(f"{root}{one}" for one in folders)]
            wheels.call(python, *compile_all, *moved)
            return
    if start(root, f"/usr/bin/python{PYTHON}", *compile_all, *folders).wait(1200):
        raise native.BuildError("compileall failed in qemu")


def start(root, *arguments, **options):
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh"]
    command += [str(root), QEMU, *arguments]
    environment = {"PATH": os.environ["PATH"], "HOME": "/root", "LC_ALL": "C.UTF-8"}
    return subprocess.Popen(command, env=environment, start_new_session=True, **options)


def output(root, *arguments):
    process = start(root, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said, _ = process.communicate(timeout=120)
    if process.returncode:
        raise native.BuildError(f"{arguments}: exit {process.returncode}\n{said}")
    return said
