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

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
BUILD = ROOT / "build" / "bench"
VENV = ROOT / "build" / "bench-venv"

sys.path.insert(0, str(ROOT / "tools"))
import native  # noqa: E402

TABLES = ("hello", "blocking", "bodies", "mixed", "memory", "startup")
THREADS = "8"
MODULES = ("bjoern", "fastwsgi", "fastpysgi", "freastal", "peregrine", "weft")
TICK = os.sysconf("SC_CLK_TCK")


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


class Server:
    """A running server, in a session of its own and pinned to the servers' core."""

    def __init__(self, name, make_command, app="app", prefix=(), env=None):
        self.name, self.port = name, free_port()
        self.log = open(BUILD / f"{name.replace(' ', '-')}.log", "wb")
        self.started = time.perf_counter()
        self.process = spawn([*prefix, *make_command(app, self.port)], self.log, env)

    def wait(self, timeout=30.0):
        """Waits for the first 200; returns the seconds since exec."""
        deadline = time.perf_counter() + timeout
        while time.perf_counter() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                if self.get().startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
                    return time.perf_counter() - self.started
            time.sleep(0.0002)
        log = Path(self.log.name).read_text(errors="replace")
        raise RuntimeError(f"{self.name} did not answer (exit {self.process.poll()})\n{log}")

    def get(self, path="/"):
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            return sock.recv(65536)

    def processes(self):
        """Pids of the server's session."""
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    if os.getsid(int(entry)) == self.process.pid:
                        yield int(entry)

    def cpu(self):
        """Seconds of user and system time, of all processes."""
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
        return total / TICK

    def memory(self):
        """KiB of proportional, private and resident memory, of all processes."""
        total = {"pss": 0, "private": 0, "rss": 0}
        for pid in self.processes():
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            sizes = dict(re.findall(r"^(\w+): +(\d+) kB", text, re.M))
            total["pss"] += int(sizes["Pss"])
            total["rss"] += int(sizes["Rss"])
            total["private"] += int(sizes["Private_Clean"]) + int(sizes["Private_Dirty"])
        return total

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def stop(self):
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()


CORES = {"server": 0, "load": 1}


def spawn(command, output, env=None):
    """Starts a process on the servers' core; this one goes back to the other."""
    os.sched_setaffinity(0, {CORES["server"]})
    try:
        return subprocess.Popen(
            command,
            cwd=BENCH,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    finally:
        os.sched_setaffinity(0, {CORES["load"]})


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


# ---- load ----------------------------------------------------------------------------------

UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


def load(server, connections, seconds, path="/", script=None):
    """One run of wrk against a server: requests/s, CPU µs per request, p50 and p99 in ms."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    if script:
        command += ["-s", str(BENCH / script)]
    before = server.cpu()
    answer = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}{path}"], capture_output=True, text=True
    )
    cpu = server.cpu() - before
    text = answer.stdout
    done = re.search(r"(\d+) requests in", text)
    if answer.returncode or not done:
        raise RuntimeError(f"{server.name}: wrk failed\n{text}{answer.stderr}")
    if done[1] == "0":
        # A single-threaded server that is busy with something slow.
        return {"rps": 0.0}
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    if bad:
        raise RuntimeError(f"{server.name}: {bad[1]} answers were errors")
    latency = dict(re.findall(r"^ +(50|99)% +([\d.]+(?:us|ms|s|m))", text, re.M))
    return {
        "rps": float(re.search(r"Requests/sec: +([\d.]+)", text)[1]),
        "cpu_us": cpu / int(done[1]) * 1e6,
        "p50_ms": milliseconds(latency["50"]),
        "p99_ms": milliseconds(latency["99"]),
    }


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()
    return float(number) * UNITS[unit]


def medians(rounds):
    """The median of each figure that every round has, and how far the rounds lie apart."""
    keys = [key for key in rounds[0] if all(key in one for one in rounds)]
    result = {key: statistics.median(one[key] for one in rounds) for key in keys}
    if result["rps"]:
        rates = [one["rps"] for one in rounds]
        result["spread"] = (max(rates) - min(rates)) / result["rps"] * 100
    return {**result, "rounds": rounds}


def in_turn(servers):
    """Each server while the others stand still: some work without a request (fastpysgi 0.6
    takes 61 % of a core), on the core that all of them share.
    """
    for server in servers:
        server.signal(signal.SIGSTOP)
    try:
        for server in servers:
            server.signal(signal.SIGCONT)
            yield server
            server.signal(signal.SIGSTOP)
    finally:
        for server in servers:
            server.signal(signal.SIGCONT)


def interleaved(options, app, connections, busy=contextlib.nullcontext, path="/", script=None):
    """Measures the servers in turns; returns the median of each one's rounds."""
    with contextlib.ExitStack() as stack:
        servers = []
        for name, command in options.servers.items():
            # What answers the same to everything has no slow handler to measure.
            if app == "app" or name != "C only":
                servers.append(stack.enter_context(Server(name, command, app)))
                servers[-1].wait()
        rounds = {server.name: [] for server in servers}
        for number in range(options.rounds + 1):
            for server in in_turn(servers):
                # Round 0 warms up.
                seconds = options.seconds if number else 1
                with busy(server):
                    result = load(server, connections, seconds, path, script)
                if number:
                    rounds[server.name].append(result)
        return {name: medians(results) for name, results in rounds.items()}


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


def table(title, results, columns):
    """Prints rows of numbers: columns are (heading, key, format)."""
    print(f"\n{title}\n")
    width = max(map(len, results)) + 2
    print(" " * width + "".join(f"{heading:>12}" for heading, _, _ in columns))
    for name, result in results.items():
        cells = [format(result[key], form) if key in result else "-" for _, key, form in columns]
        print(name.ljust(width) + "".join(f"{cell:>12}" for cell in cells))


def add_ratios(results, key, name):
    base = results.get("cwsgi", {}).get(key)
    for result in results.values():
        if base and key in result:
            result[name] = result[key] / base


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
