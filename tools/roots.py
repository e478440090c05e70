"""Proves that cwsgi builds and runs on bare Debian systems, each in a root of its own.

    tools/roots.py [--only SUITE,...] [--steps STEP,...] [--python python3.15]
    tools/roots.py --only sid --shell 'COMMAND'      runs COMMAND in a root that a step has left

debootstrap makes the roots, once each, below build/roots (--folder); every run begins with a
fresh copy of them, into which this tree goes as it is. The steps of each:

    run      `make run` sets up all that it needs, and answers
    wheel    a wheel built there is installed where there is Python and nothing else, and answers
    image    the Dockerfile builds on it, without Python and with one that has no venv
    pytest   `make pytest`, in sid with the next CPython, too

apt and pip work inside as they do outside: their configuration, the certificates that the
environment names and the resolver's are copied. Needs root, as debootstrap, mount and chroot do.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import native

SUITES = ("bookworm", "trixie", "sid")
# Beside python3, for `make pytest`.
MORE_PYTHONS = {"sid": ["python3.15"]}
STEPS = ("run", "wheel", "image", "pytest")
MIRROR = "http://deb.debian.org/debian"
# Seconds. The first start installs packages and compiles.
START = 900
CERTIFICATES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

# Runs in a mount and a process namespace of its own: whatever it leaves ends with it.
ENTER = """\
set -e
root=$1 caches=$2; shift 2
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mkdir -p "$root/root/.cache/pip"
[ ! -d "$root/var/cache/apt" ] || mount --bind "$caches/apt" "$root/var/cache/apt/archives"
mount --bind "$caches/pip" "$root/root/.cache/pip"
exec chroot "$root" "$@"
"""


class Failed(Exception):
    """A step that did not do what it must, in one line."""


class Root:
    """A Debian system below a folder."""

    def __init__(self, folder, suite, name):
        self.suite, self.path = suite, folder / name
        self.caches = folder / f"caches-{suite}"
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.environment |= {"HOME": "/root", "LC_ALL": "C.UTF-8"}
        self.environment |= {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("PIP_", "CWSGI_TEST")) or name.lower().endswith("_proxy")
        }
        self.copied = [Path("/etc/resolv.conf"), Path("/etc/hosts"), Path("/etc/pip.conf")]
        self.copied += Path("/etc/apt/apt.conf.d").glob("*proxy*")
        self.copied += [Path("/etc/apt/apt.conf"), Path("/etc/apt/auth.conf")]
        for name in CERTIFICATES:
            bundle = os.environ.get(name)
            if bundle and os.path.isfile(bundle):
                # Not where the package ca-certificates would write its own.
                self.environment[name] = f"/etc/outside/{name}.crt"

    def bare(self):
        """The root that debootstrap makes, made where it is missing."""
        made = self.path.with_name(f"bare-{self.suite}")
        if not made.exists():
            print(f"   debootstrap {self.suite}", flush=True)
            unfinished = made.with_name(f"unfinished-{self.suite}")
            shutil.rmtree(unfinished, ignore_errors=True)
            command = ["debootstrap", "--variant=minbase", self.suite, str(unfinished), MIRROR]
            answer = subprocess.run(command, capture_output=True, text=True)
            if answer.returncode:
                raise Failed(f"debootstrap {self.suite}: {answer.stdout[-2000:]}{answer.stderr}")
            unfinished.rename(made)
        return made

    def begin(self):
        """A fresh copy of the bare root, with what its tools need and this tree in /src."""
        if self.path.exists():
            # Nothing may be mounted there: rmtree() would follow.
            if f" {self.path}/" in Path("/proc/self/mountinfo").read_text():
                raise Failed(f"something is mounted below {self.path}")
            shutil.rmtree(self.path)
        subprocess.run(["cp", "-a", "--reflink=auto", self.bare(), self.path], check=True)
        for kind in ("apt/partial", "pip"):
            (self.caches / kind).mkdir(parents=True, exist_ok=True)
        for source in self.copied:
            if source.is_file():
                self.put(source, source)
        for name in CERTIFICATES:
            if name in self.environment:
                self.put(Path(os.environ[name]), Path(self.environment[name]))
        for name in os.environ.get("PIP_FIND_LINKS", "").split():
            if os.path.isdir(name):
                shutil.copytree(name, self.path / name.lstrip("/"))
        names = native.run(["git", "ls-files", "-co", "--exclude-standard", "-z"]).stdout
        for name in filter(None, names.split("\0")):
            if (native.ROOT / name).is_file():
                self.put(native.ROOT / name, Path("/src") / name)
        self.prepare()

    def prepare(self):
        """What a fresh copy still needs."""
        # A mirror may be a snapshot of some day, whose lists are past their date.
        lax = self.path / "etc/apt/apt.conf.d/snapshot"
        lax.write_text('Acquire::Check-Valid-Until "false";\n')
        self.run("apt-get update -qq")

    def put(self, source, target):
        inside = self.path / str(target).lstrip("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, inside)

    def start(self, command, **options):
        """Starts a shell's command in /src and returns the process: the namespace's first."""
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh"]
        words += [str(self.path), str(self.caches), "sh", "-c", f"cd /src; {command}"]
        return subprocess.Popen(words, env=self.environment, start_new_session=True, **options)

    def run(self, command, limit=START):
        """Runs a command and returns what it wrote; Failed where it fails."""
        process = self.start(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failed(f"{command}: no end after {limit} s") from None
        if process.returncode:
            raise Failed(f"{command}: exit {process.returncode}\n{output[-20000:]}")
        return output

    def install(self, packages):
        self.run(
            f"DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {packages}"
        )

    def answers(self, command, expected):
        """Starts a server by a command that has {port}, asks for /, and stops it."""
        served(lambda port, log: self.start(command.format(port=port), **log), expected)


def command(root, script, shared, *words):
    """Writes a script that runs `words` in a root of any kind, with `shared` folders in it.

    It stays the process that it is started as, and in its folder, as a test's own server does.
    """
    mounts = [f'mkdir -p "$root{one}"; mount --rbind {one} "$root{one}"' for one in shared]
    lines = "\n".join(mounts)
    script.write_text(f"""\
#!/bin/sh
exec unshare --mount sh -c '
set -e
root=$1 folder=$2; shift 2
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
{lines}
exec unshare --root "$root" --wd "$folder" {" ".join(words)} "$@"
' sh {root} "$PWD" "$@"
""")
    script.chmod(0o755)
    return script


def stop_group(process):
    """The whole group: make hands nothing on."""
    os.killpg(process.pid, signal.SIGTERM)


def served(start, expected, stop=stop_group):
    """Starts a server by start(port, Popen's options), asks for /, and stops it."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    with tempfile.TemporaryFile("w+") as log:
        process = start(port, {"stdout": log, "stderr": log})
        try:
            text = answer(process, port)
        finally:
            if process.poll() is None:
                stop(process)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        log.seek(0)
        said = log.read()
    if text is None or expected not in text:
        raise Failed(f"answered {text!r}; it said:\n{said[-20000:]}")


def answer(process, port):
    """What a GET of / brings once somebody listens; None where the process ends before."""
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as got:
                return got.read().decode()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    return None


def step_run(root, options):
    root.install("make")
    root.answers(f"make run PORT={{port}} PYTHON={options.python}", "Hello, ")


def step_wheel(root, options):
    python = ".venv/bin/python"
    root.run(f"make build PYTHON={options.python}")
    root.run(f"{python} -m pip wheel -q --no-deps -w /wheels .")
    (wheel,) = (root.path / "wheels").glob("cwsgi-*.whl")
    plain = Root(root.path.parent, root.suite, f"{root.suite}-plain")
    plain.begin()
    plain.install(f"{options.python} {options.python}-venv")
    plain.put(wheel, Path("/wheels") / wheel.name)
    plain.run(f"{options.python} -m venv /venv && /venv/bin/pip install -q /wheels/{wheel.name}")
    plain.answers(
        "cd examples/hello && exec /venv/bin/cwsgi --bind 127.0.0.1:{port} main:app", "Hello, "
    )
    shutil.rmtree(plain.path)


def step_image(root, options):
    if not shutil.which("buildah"):
        raise Failed("buildah not found: apt-get install buildah")
    plain = Root(root.path.parent, root.suite, f"{root.suite}-plain")
    plain.begin()
    images = Images(root.path.parent)
    try:
        images.base(plain)
        images.build("base", "cwsgi", ".", "Hello, ")
        images.build("cwsgi", "flask", "examples/flask", "Hello, ")
        images.build("cwsgi", "django", "examples/django", "<")
        plain.install(options.python)
        images.base(plain)
        images.build("base", "cwsgi", ".", "Hello, ")
    finally:
        shutil.rmtree(plain.path)
        images.remove()


class Images:
    """Container images, kept below a folder of their own."""

    def __init__(self, folder):
        self.folder = folder / "images"
        self.buildah = ["buildah", "--storage-driver", "vfs"]
        self.buildah += ["--root", str(self.folder / "root"), "--runroot", str(self.folder / "run")]

    def call(self, *arguments):
        answer = subprocess.run(
            [*self.buildah, *arguments], cwd=native.ROOT, capture_output=True, text=True
        )
        if answer.returncode:
            output = (answer.stdout + answer.stderr)[-20000:]
            raise Failed(f"buildah {arguments[0]}: exit {answer.returncode}\n{output}")
        return answer.stdout.strip()

    def base(self, root, name="base"):
        """Makes a root an image."""
        base = self.call("from", "scratch")
        self.call("add", "--quiet", base, str(root.path), "/")
        for key, value in root.environment.items():
            if key.startswith("PIP_"):
                self.call("config", "--env", f"{key}={value}", base)
        # In full: some short names mean an image of a registry.
        self.call("commit", "--quiet", base, f"localhost/{name}")
        self.call("rm", base)

    def config(self, name):
        """What an image says of itself: its user, command, ports and so on."""
        return json.loads(self.call("inspect", "--type", "image", name))["OCIv1"]["config"]

    def build(self, base, name, folder, expected):
        """Builds a Dockerfile upon an image; its server must answer, and not be root's."""
        chosen = ["--isolation", "chroot", "--build-arg", f"BASE=localhost/{base}"]
        self.call("bud", *chosen, "-t", name, folder)
        config = self.config(name)
        if (
            config.get("User") in (None, "", "0", "root")
            or "8080/tcp" not in config["ExposedPorts"]
        ):
            raise Failed(f"{folder}: wrong user or port: {config}")
        made = self.call("from", name)
        run = ["run", "--isolation", "chroot"]
        served(
            lambda port, log: self.start(
                *run, "--env", f"PORT={port}", made, "--", *config["Cmd"], **log
            ),
            expected,
        )
        everything = [made, "find", "/", "-xdev", "-name", "cwsgi*.whl"]
        wheels = self.call(*run, "--user", "0", *everything)
        if wheels:
            raise Failed(f"{folder}: wheels left in the image: {wheels}")
        self.call("rm", made)

    def start(self, *arguments, **options):
        return subprocess.Popen([*self.buildah, *arguments], start_new_session=True, **options)

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def step_pytest(root, options):
    failed = []
    for python in dict.fromkeys([options.python, *MORE_PYTHONS.get(root.suite, [])]):
        log = root.path.with_name(f"{root.suite}-{python}.log")
        command = f"make pytest PYTHON={python} VENV=.venv-{python} > /src/pytest.log 2>&1"
        code = root.start(command).wait()
        shutil.copy(root.path / "src/pytest.log", log)
        lines = log.read_text().splitlines()
        print(f"   {python}: {lines[-1 if code == 0 else -2]}; all of it: {log}", flush=True)
        if code:
            failed += [python, *(line for line in lines if line.startswith(("FAILED", "ERROR ")))]
    if failed:
        raise Failed("make pytest: " + "\n".join(failed))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=native.ROOT / "build" / "roots")
    parser.add_argument("--only", default=",".join(SUITES), help="suites")
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--python", default="python3", help="Debian's name of the interpreter")
    parser.add_argument("--shell", metavar="COMMAND")
    options = parser.parse_args()
    if os.getuid() != 0 or not shutil.which("debootstrap"):
        sys.exit("needs root, and debootstrap: apt-get install debootstrap")
    options.folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for suite in options.only.split(","):
        root = Root(options.folder.resolve(), suite, suite)
        if options.shell:
            return root.start(options.shell).wait()
        for name in options.steps.split(","):
            print(f"== {suite}: {name}", flush=True)
            try:
                if name == options.steps.split(",")[0]:
                    root.begin()
                    root.install("make")
                globals()[f"step_{name}"](root, options)
            except Failed as failure:
                print(f"FAILED in {suite}: {failure}", flush=True)
                failed.append(f"{suite}: {name}")
    print("failed: " + ", ".join(failed) if failed else "all passed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
