"""Measures how soon an app is served, beside how soon the bare interpreter has imported it.

    bench/start.py [--apps flask,django,fastapi,pandas] [--caches anew,warm,cold,slow] [--rounds 9]
                   [--python PYTHON] [--delay 1000] [--json FILE]

bare       python -c "import app", until the line after that has run
plain      cwsgi --prefetch none, until it says that its port is open (READY=1)
prefetch   cwsgi with a list of `cwsgi record`, until the same

All three start the same app, with one CPython from one environment, one worker, all .pyc files
written. Each round runs them one after the other, so that what else the machine does hits them
alike. Time is counted from before the fork; medians, and the least, are shown.

warm   everything was read a moment ago
anew   warm, and each start compiles all modules: no .pyc file is there, and none is written
cold   /proc/sys/vm/drop_caches before each start: pages, inodes and folders have to be read
       from the machine's disk. Needs root
slow   the same, in a root whose every file comes through a FUSE file system (bench/slowfs.c) in
       which each request takes --delay microseconds more, many at a time: what a network disk
       or an image that is fetched lazily is like. Needs root, libfuse3-dev and fuse3
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"
BUILD = ROOT / "build" / "bench-start"
VENV, APPS = BUILD / "venv", BUILD / "apps"
WAYS = ("bare", "plain", "prefetch")
LIMIT = 120  # seconds for one start

SOURCES = {
    "flask": """
from flask import Flask
app = Flask(__name__)

@app.get("/")
def index():
    return "hello"
""",
    "django": """
from django.conf import settings
settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF="urls", SECRET_KEY="secret", USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib." + name for name in
                    ("admin", "auth", "contenttypes", "sessions", "messages")],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
from django.core.wsgi import get_wsgi_application
app = get_wsgi_application()
import urls
""",
    "fastapi": """
from fastapi import FastAPI
app = FastAPI()

@app.get("/")
async def index():
    return {"hello": "world"}
""",
    "pandas": """
import pandas
from flask import Flask
app = Flask(__name__)
frame = pandas.DataFrame({"a": [1, 2, 3]})

@app.get("/")
def index():
    return frame.to_json()
""",
}
URLS = """
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("", lambda request: HttpResponse("hello"))]
"""


def environment(cache=""):
    dropped = ("PYTHON", "PORT", "WEB_CONCURRENCY")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    if cache == "anew":
        kept |= {"PYTHONPYCACHEPREFIX": str(BUILD / "none"), "PYTHONDONTWRITEBYTECODE": "1"}
    return kept


def install(python):
    """Sets up one environment with cwsgi and all that the apps need."""
    stamp = VENV / ".installed"
    wanted = (BENCH / "requirements-start.txt").read_text() + python
    pip = [str(VENV / "bin/python"), "-m", "pip", "install", "-q"]
    env = environment()
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([python, "-m", "venv", "--clear", str(VENV)], check=True, env=env)
        lines = [line for line in wanted.splitlines() if "==" in line]
        subprocess.run([*pip, "-U", "setuptools", "wheel", *lines], check=True, env=env)
        stamp.write_text(wanted)
    build = ["--force-reinstall", "--no-deps", "--no-build-isolation", str(ROOT)]
    subprocess.run([*pip, *build], check=True, env=env)
    APPS.mkdir(parents=True, exist_ok=True)
    (APPS / "urls.py").write_text(URLS)
    for name, source in SOURCES.items():
        (APPS / f"{name}_app.py").write_text(source)


def prepare(app):
    """Has everything compiled, and what is read recorded."""
    env, python = environment(), VENV / "bin/python"
    subprocess.run([python, "-c", f"import {app}_app"], check=True, cwd=APPS, env=env)
    words = ["record", "--serve", "--output", str(BUILD / f"{app}.list"), f"{app}_app:app"]
    # The first run may still compile what the bare one has not imported.
    for _ in range(2):
        subprocess.run(
            [VENV / "bin/cwsgi", *words], check=True, cwd=APPS, env=env, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip


def drop_caches():
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def entering(root):
    """What a new process does first: it goes to the app's folder, in another root."""

    def enter():
        if root:
            os.chroot(root)
        os.chdir(APPS)

    return enter


def bare(app, root, env):
    code = f"import {app}_app, os; os.write(1, b'x')"
    began = time.perf_counter()
    process = subprocess.Popen(
        [VENV / "bin/python", "-c", code],
        stdout=subprocess.PIPE,
        env=env,
        preexec_fn=entering(root),
    )
    if process.stdout.read(1) != b"x":
        sys.exit(f"{app}: the import failed")
    took = time.perf_counter() - began
    process.communicate()
    return took


def served(app, root, env, prefetch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["-w", "1", "-b", f"127.0.0.1:{port}", "--prefetch", prefetch]
    with tempfile.TemporaryFile() as log, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        # To try the port again and again would take the processor away from the start.
        ready.bind("")
        ready.settimeout(LIMIT)
        name = ready.getsockname().decode().replace("\0", "@", 1)
        began = time.perf_counter()
        process = subprocess.Popen(
            [VENV / "bin/cwsgi", *options, f"{app}_app:app"],
            stderr=log,
            env={**env, "NOTIFY_SOCKET": name},
            preexec_fn=entering(root),
        )
        while not ready.recv(256).startswith(b"READY=1"):
            if process.poll() is not None:
                log.seek(0)
                sys.exit(f"{app}: the server did not start\n{log.read().decode()}")
        took = time.perf_counter() - began
        socket.create_connection(("127.0.0.1", port)).close()
        process.send_signal(signal.SIGTERM)
        process.wait()
    return took


def start(way, app, cache, root):
    env = environment(cache)
    if way == "bare":
        return bare(app, root, env)
    return served(app, root, env, "none" if way == "plain" else str(BUILD / f"{app}.list"))


@contextlib.contextmanager
def slow_root(delay):
    """A root of the same files, slower."""
    program, folder = BUILD / "slowfs", BUILD / "slow"
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "fuse3"], check=True, capture_output=True, text=True
    ).stdout.split()
    subprocess.run(["cc", "-O2", "-o", program, BENCH / "slowfs.c", *flags], check=True)
    folder.mkdir(exist_ok=True)
    server = subprocess.Popen([program, str(delay), "-f", "-o", "allow_other", folder])
    mounted = [folder]
    try:
        while not os.path.ismount(folder):
            if server.poll() is not None:
                sys.exit("the slow file system could not be mounted")
            time.sleep(0.01)
        for name in ("proc", "dev"):
            subprocess.run(["mount", "--rbind", f"/{name}", folder / name], check=True)
            mounted.append(folder / name)
        yield str(folder)
    finally:
        for path in reversed(mounted):
            subprocess.run(["umount", "-l", path])
        server.wait(10)


def measure(apps, cache, rounds, root):
    found = {}
    for app in apps:
        times = {way: [] for way in WAYS}
        for number in range(rounds + 1):
            for way in WAYS:
                if cache in ("cold", "slow"):
                    drop_caches()
                took = start(way, app, cache, root)
                if number:  # the first round warms up
                    times[way].append(took * 1000)
        found[app] = {
            way: {"median_ms": statistics.median(ms), "least_ms": min(ms)}
            for way, ms in times.items()
        }
        shown = [
            f"{way} {one['median_ms']:6.0f} ({one['least_ms']:.0f})"
            for way, one in found[app].items()
        ]
        sooner = 1 - found[app]["prefetch"]["median_ms"] / found[app]["bare"]["median_ms"]
        print(f"{cache:5} {app:8}", "   ".join(shown), f"  {sooner:+.0%} sooner", flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--apps", default=",".join(SOURCES))
    parser.add_argument("--caches", default="anew,warm,cold,slow")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--delay", type=int, default=1000, help="us of each request, for slow")
    parser.add_argument("--json", help="where to write all figures")
    options = parser.parse_args()
    apps, caches = options.apps.split(","), options.caches.split(",")
    install(options.python)
    for app in apps:
        prepare(app)
    print("ms from the fork on: median (least)")
    found = {}
    for cache in caches:
        with slow_root(options.delay) if cache == "slow" else contextlib.nullcontext() as root:
            found[cache] = measure(apps, cache, options.rounds, root)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
