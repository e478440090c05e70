"""What 4,000 bad peers cost the others: p99 of a quick route before and while they are held.

    make crowd

1,000 slowloris connections (header sections that never end), 1,000 slow readers of 200 kB
and 2,000 idle keep-alive connections, all open at once; wrk asks beside them. Prints the
latencies, their ratio and the worker's memory.
"""

import os
import re
import resource
import socket
import subprocess
import sys
from pathlib import Path

from soak import find_port, measure, worker_of

HERE = Path(__file__).resolve().parent
LORIS = b"GET / HTTP/1.1\r\nHost: a\r\nX-"
READER = b"GET /stream?25 HTTP/1.1\r\nHost: a\r\n\r\n"
IDLE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def crowd(port):
    """Opens the connections and returns them: they live while they are referenced."""
    held = []
    for data, count in ((LORIS, 1000), (READER, 1000), (IDLE, 2000)):
        for _ in range(count):
            sock = socket.socket()
            if data is READER:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", port))
            sock.sendall(data)
            if data is IDLE:
                sock.recv(4096)
            held.append(sock)
    return held


def latency(port, cores):
    """p50 and p99 in ms, requests/s."""
    out = subprocess.run(
        [
            "taskset",
            "-c",
            cores,
            "wrk",
            "-t1",
            "-c8",
            "-d5",
            "--latency",
            f"http://127.0.0.1:{port}/",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    scale = {"us": 1e-3, "ms": 1.0, "s": 1e3}

    def percentile(name):
        number, unit = re.search(rf"{name}%\s+([\d.]+)(us|ms|s)", out).groups()
        return float(number) * scale[unit]

    return percentile(50), percentile(99), float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
    port = find_port()
    program = Path(sys.executable).with_name("cwsgi")
    server = subprocess.Popen(
        ["taskset", "-c", "0", program, "-b", f"127.0.0.1:{port}", "-w", "1", "--chdir", HERE]
        + ["soak_app:app"],
        stderr=subprocess.PIPE,
        text=True,
    )
    while "Listening at" not in (line := server.stderr.readline()):
        if not line:
            return 1
    load_core = str(os.cpu_count() - 1)
    worker = worker_of(server.pid)
    rows = []
    for _ in range(3):
        quiet = latency(port, load_core)
        before = measure(worker)[0]
        held = crowd(port)
        busy = latency(port, load_core)
        rows.append((quiet, busy))
        print(f"quiet  p50 {quiet[0]:.3f} p99 {quiet[1]:.3f} ms  {quiet[2]:.0f} req/s")
        print(f"crowd  p50 {busy[0]:.3f} p99 {busy[1]:.3f} ms  {busy[2]:.0f} req/s", end="  ")
        print(f"{len(held)} held, worker {before >> 20} -> {measure(worker)[0] >> 20} MiB")
        for sock in held:
            sock.close()
    ratios = sorted(busy[1] / quiet[1] for quiet, busy in rows)
    print(f"p99 with the crowd / quiet: {ratios[1]:.2f} (median of {len(ratios)})")
    server.terminate()
    return server.wait(40)


if __name__ == "__main__":
    sys.exit(main())
