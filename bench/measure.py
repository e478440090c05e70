"""What every bench needs: servers on a core of their own, load on the other, rounds in turn,
and tables of the medians."""

import contextlib
import os
import re
import signal
import socket
import statistics
import subprocess
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
BUILD = ROOT / "build" / "bench"
TICK = os.sysconf("SC_CLK_TCK")


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
    """Measures the servers in turns; returns the median of each one's rounds.

    Each round is a process of its own: where CPython's memory and hashes happen to lie costs or
    saves one process a few percent for as long as it lives.
    """
    rounds = {}
    for _ in range(options.rounds):
        for name, command in options.servers.items():
            # What answers the same to everything has no slow handler to measure.
            if app != "app" and name == "C only":
                continue
            with Server(name, command, app) as server:
                server.wait()
                with busy(server):
                    load(server, connections, 1, path, script)
                    result = load(server, connections, options.seconds, path, script)
            rounds.setdefault(name, []).append(result)
    return {name: medians(results) for name, results in rounds.items()}


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
