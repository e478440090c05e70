"""A real browser without a screen, told by its DevTools protocol what to do."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess

import pytest
import requests
from client import SLOW, wait_for
from server import clean_env, tied_to_this_process
from websockets.sync.client import connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = [
    "--headless",
    "--no-sandbox",  # which root cannot have
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-features=BackForwardCache",  # a page that is left would keep what it has open
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
]


class Browser:
    """Ends with its test, with all its processes. `page(url)` opens a tab."""

    def __init__(self, folder):
        path = next(filter(None, map(shutil.which, NAMES)), None)
        if path is None:
            pytest.skip("no Chromium here: make browser installs it")
        self.profile = folder / "profile"
        self.log = folder / "browser.log"
        # A sanitizer's runtime would come in by this variable.
        env = clean_env({"HOME": folder, "LD_PRELOAD": None})
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [path, *OPTIONS, f"--user-data-dir={self.profile}", "about:blank"],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=tied_to_this_process,
            )
        try:
            self.port = wait_for(self._port, "the browser's DevTools", 50, step=0.05)
        except BaseException:
            self.close()
            raise

    def _port(self):
        assert self.process.poll() is None, self.log.read_text("utf-8", "replace")
        with contextlib.suppress(FileNotFoundError):
            lines = (self.profile / "DevToolsActivePort").read_text().split("\n")
            return int(lines[0]) if len(lines) > 1 else None

    def page(self, url):
        return Page(self.port, url)

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Page:
    """A tab, as a context manager: what it has open ends with it."""

    def __init__(self, port, url):
        self.port, self.numbers = port, itertools.count(1)
        asked = requests.put(f"http://127.0.0.1:{port}/json/new?about:blank", timeout=20 * SLOW)
        self.about = asked.json()
        self.connection = connect(self.about["webSocketDebuggerUrl"], max_size=None, proxy=None)
        self.url = url

    def __enter__(self):
        self.socket = self.connection.__enter__()
        self.tell("Page.enable")
        self.go(self.url)
        return self

    def __exit__(self, *exc):
        with contextlib.suppress(OSError):
            requests.get(
                f"http://127.0.0.1:{self.port}/json/close/{self.about['id']}", timeout=20 * SLOW
            )
        self.connection.__exit__(*exc)

    def _receive(self):
        return json.loads(self.socket.recv(timeout=40 * SLOW))

    def tell(self, method, **parameters):
        """One command, and its result."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = self._receive()
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def go(self, url):
        """Loads a page. Returns when it is there."""
        asked = self.tell("Page.navigate", url=url)
        assert "errorText" not in asked, asked
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def run(self, body):
        """What this body of an async function returns, in the page."""
        result = self.tell(
            "Runtime.evaluate",
            expression=f"(async () => {{ {body} }})()",
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")
