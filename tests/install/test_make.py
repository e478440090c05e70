"""What the Makefile says of itself, and how `make run` treats its port."""

import re
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINDABLE = [sys.executable, ROOT / "tools" / "bindable.py"]


def make(*arguments):
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_make_alone_shows_every_target():
    said = make()
    shown = re.findall(r"^  ([a-z-]+) +\S.{10}", said, re.M)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert sorted(shown) == sorted(set(phony) - {"help", "test-one", "test-all"})


def test_run_binds_what_it_prints():
    commands = make("-n", "run", "PORT=8765", "BIND=127.0.0.3")
    assert "http://127.0.0.3:8765/" in commands
    assert "--bind 127.0.0.3:8765 " in commands
    assert "tools/bindable.py 127.0.0.3 8765\n" in commands


def test_busy_port():
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        answer = subprocess.run([*BINDABLE, "127.0.0.1", port], capture_output=True, text=True)
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"127.0.0.1:{port}: Address already in use")
    assert "PORT=" in answer.stderr and answer.stderr.count("\n") == 1
    answer = subprocess.run([*BINDABLE, "127.0.0.1", port], capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_no_port():
    for port in ("eighty", "99999", "-1"):
        answer = subprocess.run([*BINDABLE, "127.0.0.1", port], capture_output=True, text=True)
        assert answer.returncode == 1 and answer.stderr.count("\n") == 1
