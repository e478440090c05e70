"""Builds examples/docker on bases made here, and runs what comes out as a platform would.

    tools/images.py [--only NAME,...] [--folder FOLDER] --dist FOLDER

FOLDER of --dist has wheels of cwsgi. The bases are Debian roots by debootstrap (roots.py):

    slim        Debian's Python with venv
    official    a Python with a shared library in /usr/local/lib, as Docker's python images have
    distroless  Debian's Python, and no shell
    alpine      a Python for musl in /usr/local and busybox, as Docker's have it (musl.py)

Each image is run as a process 1, by a user without rights, on a root that is mounted to be read
only. It must answer at $PORT, end with 0 within a second of TERM, and have added no more than
1.15 MB for cwsgi to its base, and 0.22 for its tools. Those run in it as well, without a network.
Needs root, debootstrap and buildah.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import musl
import native
from roots import Failed, Images, Root, served

SUITE = "bookworm"
APP = "flask"
MOST = 1 << 20  # bytes that cwsgi may add: half of it is byte code and its source,
MOST_OF_TOOLS = 220_000  # and its tools, which no server loads
END = 1.0  # seconds from TERM to the end
LIBRARIES = "libssl3 libffi8 zlib1g libbz2-1.0 liblzma5 libsqlite3-0 libreadline8 libexpat1"
# What makes a shell of it, or installs.
SHELLS = "bin/sh bin/bash bin/dash bin/rbash usr/bin/apt usr/bin/apt-get usr/bin/dpkg usr/bin/perl"
# What slim images do without.
LEFT_OUT = "usr/share/doc usr/share/man usr/share/info usr/share/locale"
LEFT_OUT += " var/lib/apt/lists var/cache/apt"
# In namespaces of its own: the image's root, to be read only, and /proc of its own processes.
ENTER = """\
set -e
root=$1
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec "$PYTHON" -c "$BECOME" "$@"
"""
# In a network of its own: nothing but its loopback interface, which is down at first.
LOOPBACK = """\
import fcntl, socket, struct
with socket.socket() as one:
    fcntl.ioctl(one, 0x8914, struct.pack("16sh", b"lo", 1))
"""
# Then what a platform does: the folder, the user, the environment, the command.
BECOME = """\
import os, sys
_, root, folder, environment, *command = sys.argv
os.chroot(root)
os.chdir(folder)
os.setgroups([])
os.setgid(10001)
os.setuid(10001)
environment = dict(line.split("=", 1) for line in environment.splitlines())
for one in environment["PATH"].split(":"):
    if os.access(f"{one}/{command[0]}", os.X_OK):
        os.execve(f"{one}/{command[0]}", command, environment)
sys.exit(f"no {command[0]} in {environment['PATH']}")
"""


def debian(folder, name, packages):
    root = Root(folder, SUITE, name)
    root.begin()
    if packages:
        root.install(packages)
    return finished(root)


def finished(root):
    for name in ("src", *LEFT_OUT.split()):
        shutil.rmtree(root.path / name, ignore_errors=True)
    links = [root.environment.get("PIP_FIND_LINKS", ""), "/dist"]
    root.environment["PIP_FIND_LINKS"] = " ".join(links).strip()
    return root


def slim(folder):
    return debian(folder, "slim", "python3 python3-venv")


def official(folder):
    """A Python of this machine with a shared library, where Docker's images have theirs."""
    root = debian(folder, "official", LIBRARIES)
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        raise Failed(f"{sys.executable} has no shared library")
    prefix, local = Path(sys.base_prefix), root.path / "usr/local"
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    skipped = shutil.ignore_patterns("__pycache__", "test", "site-packages", "config-*")
    shutil.copytree(prefix / "lib" / name, local / "lib" / name, ignore=skipped, symlinks=True)
    (local / "lib" / name / "site-packages").mkdir()
    for library in (prefix / "lib").glob("libpython3*.so*"):
        shutil.copy(library, local / "lib", follow_symlinks=False)
    shutil.copy(prefix / "bin" / name, local / "bin")
    (local / "bin/python3").symlink_to(name)
    root.run("ldconfig")
    return root


def distroless(folder):
    root = debian(folder, "distroless", "python3")
    for name in SHELLS.split():
        (root.path / name).unlink(missing_ok=True)
    return root


def alpine(folder):
    root = musl.MuslRoot(folder, "alpine")
    root.begin()
    # Its Python knows no TLS, and so no index.
    root.environment["PIP_NO_INDEX"] = "1"
    return finished(root)


BASES = {"slim": slim, "official": official, "distroless": distroless, "alpine": alpine}
FILES = {name: "slim" if name == "official" else name for name in BASES}


def wheels_for(name, folder, dist):
    """A folder of wheels that the build is given."""
    if name != "alpine":
        return dist
    copy = folder / "wheels-alpine"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for wheel in dist.glob("cwsgi-*-musllinux*.whl"):
        shutil.copy(wheel, copy)
    lines = (native.ROOT / "examples" / APP / "requirements.txt").read_text().split()
    musl.download(copy, *(line for line in lines if line != "cwsgi"))
    return copy


def context(folder, app):
    """A folder with what a user has: the app, and the Dockerfile."""
    made = folder / "context"
    shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(native.ROOT / "examples" / app, made)
    return made


def build(images, name, folder, dist):
    made = context(folder, APP)
    shutil.copy(native.ROOT / "examples/docker" / FILES[name] / "Dockerfile", made)
    options = ["--isolation", "chroot", "--build-arg", f"BASE=localhost/{name}"]
    if name == "distroless":
        options += ["--build-arg", "BUILD=localhost/slim"]
    options += ["--volume", f"{wheels_for(name, folder, dist)}:/dist:ro"]
    images.call("bud", *options, "-t", f"app-{name}", str(made))


def weigh(path):
    """Bytes of all files below a folder."""
    seen = {}
    for one in Path(path).rglob("*"):
        if one.is_file() and not one.is_symlink():
            about = one.stat()
            seen[about.st_ino] = about.st_size
    return sum(seen.values())


def base_size(images, name):
    container = images.call("from", f"localhost/{name}")
    try:
        return weigh(images.call("mount", container))
    finally:
        images.call("umount", container)
        images.call("rm", container)


def entering(path, config, said, command):
    """A command line, and its environment, that runs a command in the image at `path`."""
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh"]
    environment = {**os.environ, "PYTHON": sys.executable, "BECOME": BECOME}
    said = "\n".join([*config["Env"], *said])
    return [*words, path, config["WorkingDir"], said, *command], environment


def use_tools(path, config):
    """Runs cwsgi's tools in the image at `path`: in_image.py says how."""
    source = (native.ROOT / "tools" / "in_image.py").read_text()
    command = ["python3", "-c", source, "main:app"]
    words, environment = entering(path, config, [], command)
    begin = 'set -e; "$PYTHON" -c "$LOOPBACK"; exec "$@"'
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", begin, "sh", *words],
        env={**environment, "LOOPBACK": LOOPBACK},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        raise Failed(f"tools ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def run(images, name):
    """Runs an image; returns how it ended and cwsgi's bytes as text, the bytes of all, and
    what the tools printed."""
    config = images.config(f"app-{name}")
    if config.get("User") in (None, "", "0", "root") or "8080/tcp" not in config["ExposedPorts"]:
        raise Failed(f"{name}: wrong user or port: {config}")
    container = images.call("from", f"app-{name}")
    path = images.call("mount", container)
    took = []

    def start(port, log):
        command = [*(config.get("Entrypoint") or []), *config["Cmd"]]
        words, environment = entering(path, config, [f"PORT={port}"], command)
        return subprocess.Popen(words, start_new_session=True, env=environment, **log)

    def stop(process):
        (one,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{one}/status").read_text().splitlines()
        )
        if status["NSpid"].split()[-1] != "1" or status["Uid"].split()[0] != "10001":
            raise Failed(f"{name}: not process 1, or root's: {status['NSpid']} {status['Uid']}")
        began = time.monotonic()
        os.kill(int(one), signal.SIGTERM)
        code = process.wait(30)
        took.append(time.monotonic() - began)
        if code:
            raise Failed(f"{name}: ended with {code}")

    served(start, "Hello, ", stop)
    said = use_tools(path, config)
    left = [*Path(path).glob("venv/**/pip*"), *Path(path).glob("root/.cache/pip/*")]
    compiled = Path(path).glob("venv/lib/python3*/site-packages/flask/__pycache__/app.*.pyc")
    if left or not list(compiled):
        raise Failed(f"{name}: left of pip: {left}, or nothing is compiled")
    package = Path(path).glob("venv/lib/python3*/site-packages/cwsgi*")
    files = [Path(path) / "venv/bin/cwsgi", *(one for each in package for one in each.rglob("*"))]
    sizes = {one: one.lstat().st_size for one in files if one.is_file()}
    tools = sum(size for one, size in sizes.items() if "_tools" in one.parts)
    size = sum(sizes.values()) - tools
    whole = weigh(path)
    images.call("umount", container)
    images.call("rm", container)
    about = f"ended {took[0]:.2f} s after TERM; {size:,} bytes of cwsgi, {tools:,} of its tools"
    if took[0] > END or size > MOST or tools > MOST_OF_TOOLS:
        raise Failed(f"{name}: {about}")
    return about, whole, said


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(BASES))
    parser.add_argument("--folder", type=Path, default=native.ROOT / "build" / "roots")
    parser.add_argument("--dist", type=Path, default=native.ROOT / "dist")
    options = parser.parse_args()
    for need in ("debootstrap", "buildah"):
        if os.getuid() != 0 or not shutil.which(need):
            sys.exit(f"needs root, and {need}: apt-get install {need}")
    if not list(options.dist.glob("cwsgi-*.whl")):
        sys.exit(f"no wheel in {options.dist}")
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = options.folder.resolve()
    images = Images(folder)
    wanted = options.only.split(",")
    failed = False
    try:
        for name in dict.fromkeys([*(["slim"] if "distroless" in wanted else []), *wanted]):
            root = BASES[name](folder)
            images.base(root, name)
            shutil.rmtree(root.path)
        for name in wanted:
            try:
                build(images, name, folder, options.dist.resolve())
                about, whole, said = run(images, name)
                base = base_size(images, name)
                print(
                    f"{name}: {about}; base {base / 1e6:.1f} MB,"
                    f" with the app {whole / 1e6:.1f} MB\n{said}",
                    end="",
                    flush=True,
                )
            except Failed as error:
                failed = True
                print(f"FAILED: {error}", flush=True)
    finally:
        images.remove()
    return failed


if __name__ == "__main__":
    sys.exit(main())
