"""Measures cwsgi beside its peers, all in one run, on this machine.

    bench/run.py                           every table but `instructions`
    bench/run.py --tables hello --servers cwsgi,bjoern --rounds 5 --json out.json

The servers share one core, the load generator (wrk) has another. Servers take turns in
short rounds and the median of a server's rounds counts, so that the machine's noise hits
all alike.

    hello         a hello-world app, 64 keep-alive connections
    blocking      a handler that sleeps 1 ms, 16 connections
    bodies        uploads of 64 KiB, before and behind large responses; 1 MiB in one piece,
                  and in 16; 16 connections
    mixed         a quick route while 7 clients keep slow handlers (0.5 s) busy
    memory        of all processes, after some load, each server alone
    startup       from exec to the first 200, beside `python -c "import main"`
    instructions  per hello-world request, counted by valgrind (slow; immune to noise)
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from measure import (
    BENCH,
    BUILD,
    CORES,
    ROOT,
    Server,
    add_ratios,
    in_turn,
    interleaved,
    load,
    medians,
    spawn,
    table,
)

VENV = ROOT / "build" / "bench-venv"

sys.path.insert(0, str(ROOT / "tools"))
import native  # noqa: E402

TABLES = ("hello", "blocking", "bodies", "mixed", "memory", "startup")
THREADS = "8"
MODULES = ("bjoern", "fastwsgi", "fastpysgi", "freastal", "peregrine", "weft")


# ---- servers -------------------------------------------------------------------------------


def commands(cwsgi):
    """Each server's command for an app of main.py and a port."""
    python = str(VENV / "bin" / "python")

    def script(name, *arguments):
        return [str(VENV / "bin" / name), *arguments]

    def inline(code):
        return lambda app, port: [python, "-c", code.format(app=app, port=port)]

    return {
        "cwsgi": lambda app, port: [
            *cwsgi,
            "-w",
            "1",
            "--threads",
            THREADS,
            "-b",
            f"127.0.0.1:{port}",
            f"main:{app}",
        ],
        "C only": lambda app, port: [str(BUILD / "static"), str(port)],
        "bjoern": inline("import bjoern, main; bjoern.run(main.{app}, '127.0.0.1', {port})"),
        "fastwsgi": inline(
            "import fastwsgi, main; fastwsgi.run(main.{app}, '127.0.0.1', {port}, loglevel=0)"
        ),
        "granian": lambda app, port: script(
            "granian",
            "--interface",
            "wsgi",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            "1",
            "--blocking-threads",
            THREADS,
            "--log-level",
            "warning",
            f"main:{app}",
        ),
        "fastpysgi": inline(
            "import fastpysgi, main; fastpysgi.run(main.{app}, '127.0.0.1', {port}, loglevel=0)"
        ),
        "freastal": inline(
            "import freastal, main; freastal.serve(main.{app}, host='127.0.0.1', port={port})"
        ),
        "peregrine": lambda app, port: script(
            "peregrine", "--protocol", "wsgi", "--port", str(port), f"main:{app}"
        ),
        "weft": lambda app, port: script(
            "weft",
            "--protocol",
            "wsgi",
            "--port",
            str(port),
            "--app-dir",
            str(BENCH),
            f"main:{app}",
        ),
        "gunicorn sync": lambda app, port: script(
            "gunicorn", "-w", "1", "-b", f"127.0.0.1:{port}", f"main:{app}"
        ),
        "gunicorn gthread": lambda app, port: script(
            "gunicorn",
            "-w",
            "1",
            "-k",
            "gthread",
            "--threads",
            THREADS,
            "-b",
            f"127.0.0.1:{port}",
            f"main:{app}",
        ),
        "waitress": lambda app, port: script(
            "waitress-serve", "--threads", THREADS, "--listen", f"127.0.0.1:{port}", f"main:{app}"
        ),
    }


def install_peers():
    """Sets up the peers' environment; what does not install is named and left out."""
    stamp = VENV / ".installed"
    wanted = (BENCH / "requirements.txt").read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    python = os.path.realpath(sys.executable)
    subprocess.run([python, "-m", "venv", "--clear", str(VENV)], check=True)
    for line in wanted.splitlines():
        if line and not line.startswith("#"):
            command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "-q", line]
            if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
                print(f"{line} does not install here and is left out")
    stamp.write_text(wanted)


def build_static():
    cc = native.compiler()
    libuv, llhttp = native.find_libuv(cc), native.find_llhttp(cc)
    flags = [*native.BASE_FLAGS, *native.WARNINGS, "-O2", *libuv.cflags, *llhttp.cflags]
    builder = native.Builder(cc, flags)
    objects = builder.compile(["bench/static.c"])
    objects += builder.compile(llhttp.sources, llhttp.source_flags)
    builder.link(BUILD / "static", objects, [*libuv.link, *llhttp.link])


def available(name, command):
    if name in MODULES:
        # Some install where they cannot be loaded.
        python, code = VENV / "bin" / "python", f"import {name}"
        return subprocess.run([python, "-c", code], capture_output=True).returncode == 0
    return shutil.which(command[0]) is not None


def bodies(options):
    """Several loads on the same servers, one after the other: one may spoil the next."""
    loads = {
        "Uploads of 64 KiB": ("/", "upload.lua"),
        "1 MiB in one piece": ("/large", None),
        "1 MiB in 16 pieces": ("/pieces", None),
        "Uploads of 64 KiB behind large responses": ("/", "upload.lua"),
    }
    tables = {}
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(Server(name, command, "bodies"))
            for name, command in options.servers.items()
            if name != "C only"
        ]
        for server in servers:
            server.wait()
        for title, (path, script) in loads.items():
            rounds = {server.name: [] for server in servers}
            for number in range(options.rounds + 1):
                for server in in_turn(servers):
                    seconds = options.seconds if number else 1
                    result = load(server, 16, seconds, path, script)
                    if number:
                        rounds[server.name].append(result)
            results = {name: medians(all_rounds) for name, all_rounds in rounds.items()}
            tables[title] = load_table(f"{title}, 16 connections", results)
    return tables


@contextlib.contextmanager
def slow_clients(server):
    """Seven clients that ask for /slow again and again."""
    ended = threading.Event()

    def ask():
        while not ended.is_set():
            with contextlib.suppress(OSError):
                server.get("/slow")

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(7)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


# ---- tables --------------------------------------------------------------------------------


LOAD_COLUMNS = [
    ("req/s", "rps", ",.0f"),
    ("x cwsgi", "rps_ratio", ".2f"),
    ("spread %", "spread", ".0f"),
    ("CPU us/req", "cpu_us", ".2f"),
    ("x cwsgi", "cpu_ratio", ".2f"),
    ("p50 ms", "p50_ms", ".2f"),
    ("p99 ms", "p99_ms", ".2f"),
]


def load_table(title, results):
    add_ratios(results, "rps", "rps_ratio")
    add_ratios(results, "cpu_us", "cpu_ratio")
    table(title, results, LOAD_COLUMNS)
    return results


def hello(options):
    results = interleaved(options, "app", 64)
    return load_table("Hello-world, 64 keep-alive connections, 1 worker, 8 threads", results)


def blocking(options):
    results = interleaved(options, "blocking", 16)
    return load_table("Handler that sleeps 1 ms, 16 connections, 8 threads", results)


def mixed(options):
    results = interleaved(options, "mixed", 4, slow_clients)
    return load_table("Quick route, 4 connections, while 7 clients hold slow handlers", results)


def bare(options, code):
    """A plain interpreter, the one beside cwsgi where there is one."""
    beside = Path(shutil.which(options.cwsgi[-1]) or sys.executable).with_name("python")
    return [str(beside if beside.exists() else sys.executable), "-c", code]


def memory(options):
    """Each alone: shared pages are divided among all who map them."""
    results = {}
    sleeper = spawn(bare(options, "import main, time; time.sleep(600)"), subprocess.DEVNULL)
    time.sleep(1)
    results["python, app imported"] = Server.memory(Alone(sleeper))
    sleeper.kill()
    sleeper.wait()
    for name, command in options.servers.items():
        with Server(name, command) as server:
            server.wait()
            load(server, 64, 1)
            results[name] = server.memory()
    floor = results["python, app imported"]["pss"]
    for result in results.values():
        result["above"] = result["pss"] - floor
    columns = [
        ("PSS KiB", "pss", ",d"),
        ("over python", "above", "+,d"),
        ("private KiB", "private", ",d"),
        ("RSS KiB", "rss", ",d"),
    ]
    table("Memory of all processes after 1 s of load, each alone", results, columns)
    return results


class Alone:
    """What Server.memory() needs of a process that is no server."""

    def __init__(self, process):
        self.process = process

    processes = Server.processes


def startup(options):
    """Exec to the first 200, in turns with a plain interpreter's whole run."""
    names = [name for name in options.servers if name in ("cwsgi", "gunicorn sync")]
    times = {"python -c 'import main'": [], **{name: [] for name in names}}
    for number in range(options.starts + 1):
        started = time.perf_counter()
        process = spawn(bare(options, "import main"), subprocess.DEVNULL)
        process.wait()
        took = {"python -c 'import main'": time.perf_counter() - started}
        for name in names:
            with Server(name, options.servers[name]) as server:
                took[name] = server.wait()
        # The first fills the page cache and writes the byte code.
        for name, seconds in took.items() if number else ():
            times[name].append(seconds * 1e3)
    floor = statistics.median(times["python -c 'import main'"])
    results = {
        name: {
            "ms": statistics.median(values),
            "least": min(values),
            "above": statistics.median(values) - floor,
        }
        for name, values in times.items()
    }
    columns = [("ms", "ms", ".1f"), ("over python", "above", "+.1f"), ("least ms", "least", ".1f")]
    table(f"Start-up to the first 200, median of {options.starts}", results, columns)
    return results


def instructions(options):
    """Counts with callgrind: the difference of two runs is what the requests cost."""
    results = {}
    few, many = 500, 2500
    for name, command in options.servers.items():
        if name in ("cwsgi", "C only", "bjoern", "fastwsgi"):
            counts = [counted(name, command, requests) for requests in (few, many)]
            results[name] = {"instructions": (counts[1] - counts[0]) / (many - few)}
    add_ratios(results, "instructions", "ratio")
    columns = [("instructions", "instructions", ",.0f"), ("x cwsgi", "ratio", ".2f")]
    table("Instructions per hello-world request, user space, one connection", results, columns)
    return results


def counted(name, command, requests):
    """Instructions of a server's whole run that answers so many requests."""
    folder = BUILD / "callgrind"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    valgrind = ["valgrind", "-q", "--tool=callgrind", "--trace-children=yes"]
    prefix = [*valgrind, f"--callgrind-out-file={folder}/out.%p"]
    with Server(name, command, prefix=prefix, env={"PYTHONHASHSEED": "0"}) as server:
        server.wait(120)
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as sock:
            for _ in range(requests):
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                received = sock.recv(65536)
                # Some send the head and the body apart.
                while not received.endswith(b"Hello, World!"):
                    received += sock.recv(65536)
        # Counts are written at exit; bjoern and fastwsgi leave by SIGINT only.
        server.process.send_signal(signal.SIGTERM if name == "cwsgi" else signal.SIGINT)
        server.process.wait(60)
    totals = [
        re.search(r"^(?:totals|summary): (\d+)", path.read_text(), re.M)
        for path in folder.glob("out.*")
    ]
    return sum(int(total[1]) for total in totals if total)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", default=",".join(TABLES), help="comma-separated")
    parser.add_argument("--servers", help="comma-separated; default all that are installed")
    parser.add_argument("--rounds", type=int, default=3, help="of each server (3)")
    parser.add_argument("--seconds", type=int, default=3, help="of a round (3)")
    parser.add_argument("--starts", type=int, default=15, help="for start-up (15)")
    parser.add_argument("--cwsgi", help="the program to measure; default beside this Python")
    parser.add_argument("--cores", default="0,1", help="servers' core, load generator's core")
    parser.add_argument("--json", help="write all figures to this file as well")
    options = parser.parse_args()

    server_core, load_core = map(int, options.cores.split(","))
    if not {server_core, load_core} <= os.sched_getaffinity(0):
        load_core = server_core = min(os.sched_getaffinity(0))
        print("too few cores: servers and load generator share one; ratios only")
    install_peers()
    build_static()
    CORES.update(server=server_core, load=load_core)
    os.sched_setaffinity(0, {load_core})

    default = os.environ.get("CWSGI_BIN") or str(Path(sys.executable).with_name("cwsgi"))
    options.cwsgi = (options.cwsgi or default).split()
    every = commands(options.cwsgi)
    chosen = options.servers.split(",") if options.servers else list(every)
    unknown = [name for name in chosen if name not in every]
    tables = options.tables.split(",")
    unknown += [name for name in tables if name not in (*TABLES, "instructions")]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; servers are {', '.join(every)}")
    options.servers = {
        name: every[name] for name in chosen if available(name, every[name]("app", 1))
    }
    for name in chosen:
        if name not in options.servers:
            print(f"{name} is not installed and is left out")

    results = {name: globals()[name](options) for name in tables}
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
