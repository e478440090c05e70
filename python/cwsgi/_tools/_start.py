"""Starts an app as a worker does, and tells what that has imported and read."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from . import ToolError
from ._folder import temporary_folder

LIMIT = 300.0  # seconds for a start


def traced(program: str, words: "list[str]", serve: bool = False) -> "dict[str, Any]":
    """Return the trace (``--boot-trace FILE.json``) of a start in a process of its own.

    The settings, the folder, sys.path and the app's user are those of a server with these
    words. What the app writes goes to standard error.

    Args:
        program: the program ``cwsgi``.
        words: options of a server, and the app.
        serve: go on until the port opens, at a Unix socket that nobody knows of; else the app
            is only imported.

    Raises:
        ToolError: the app could not be started; why has been said.
    """
    with tempfile.TemporaryDirectory(prefix="cwsgi-", dir=temporary_folder()) as folder:
        # Workers of another user write it.
        os.chmod(folder, 0o711)
        path = os.path.join(folder, "trace.json")
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        os.chmod(path, 0o666)
        options = ["--boot-trace", path, "--prefetch", "none", "--workers", "1"]
        if serve:
            _serve(program, [*options, "--bind", f"unix:{folder}/socket", *words], path)
        else:
            _check(program, ["--check-config", *options, *words])
        data = _read(path)
    if data is None:
        raise ToolError("the start left no trace: it has ended before the app was imported")
    if data["python"] != sys.version.split()[0]:
        raise ToolError(
            f"the app runs with Python {data['python']} ({data['executable']}) and this tool with "
            f"{sys.version.split()[0]}; name the app's with $CWSGI_PYTHON instead of --python"
        )
    return data


def _check(program: str, words: "list[str]") -> None:
    status = subprocess.run([program, *words], stdout=sys.stderr, check=False).returncode
    if status != 0:
        raise ToolError(f"the app cannot be imported (exit code {status})")


def _serve(program: str, words: "list[str]", path: str) -> None:
    server = subprocess.Popen([program, *words], stdout=sys.stderr)
    end = time.monotonic() + LIMIT
    try:
        while server.poll() is None and (_read(path) or {}).get("ends_with") != "listening":
            if time.monotonic() > end:
                raise ToolError(f"the app has not started in {LIMIT:.0f} s")
            time.sleep(0.02)
        if server.poll() is not None:
            raise ToolError(f"the app cannot be started (exit code {server.returncode})")
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.send_signal(signal.SIGTERM)
        server.wait()


def _read(path: str) -> "dict[str, Any] | None":
    """Return what is in the file, or None while it is not all there."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        text = file.read()
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return None
    return found
