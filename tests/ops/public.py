"""Command lines and configuration files as images, buildpacks and deployments have them.

Each is written here in the manner of those that are around, and must do what its author
wanted, not only start: how many workers there are, what the logs say, what hooks were called.
"""

import dataclasses
import os
import shlex
import sys
import textwrap

from client import wait_for
from server import Port, program

# What every app here is made of; it tells what it sees.
FACTS = """
import json, logging, os, sys, threading

def facts(environ, **more):
    names = "REMOTE_ADDR wsgi.url_scheme SCRIPT_NAME wsgi.multithread wsgi.multiprocess"
    return {
        **{name: environ[name] for name in names.split()}, "pid": os.getpid(), "argv": sys.argv,
        "cwd": os.getcwd(), "env": dict(os.environ), "thread": threading.current_thread().name,
        "modules": [name for name in sys.modules if name in ("agent", "sitecustomize")], **more,
    }

def app(environ, start_response, **more):
    path = environ["PATH_INFO"]
    if path == "/boom":
        raise ValueError("boom, as asked")
    if path == "/log":
        logging.getLogger("shop.views").warning("sold %s", "out")
        print("printed by the app")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(facts(environ, **more)).encode()]
"""
MAIN = "from facts import app\n"


@dataclasses.dataclass
class Public:
    """One of them: a shell's line, the files beside it, and what must come of it."""

    line: str
    files: dict
    env: dict
    check: object
    binds: object = None

    @property
    def name(self):
        return self.check.__name__


class Cases(list):
    """The cases of a test file. Calling it makes one of a check; `files`: their text by name."""

    def __call__(self, line, files=None, binds=None, env=None):
        def keep(check):
            self.append(Public(line, files or {}, env or {}, check, binds))
            return check

        return keep


def start(serve, tmp_path, one):
    """Serves a case in a folder of its own, and returns the server."""
    folder = tmp_path / "server0"
    folder.mkdir()
    files = {"facts.py": FACTS, "main.py": MAIN, **one.files}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        path.chmod(0o755)
    own = folder / "bin" / "cwsgi"
    own.parent.mkdir(exist_ok=True)
    own.write_text(f'#!/bin/sh\nexec {shlex.join(program())} "$@"\n')
    own.chmod(0o755)
    port = Port()
    binds = one.binds(folder, port) if one.binds else [port]
    path = f"{own.parent}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    return serve(
        None,
        command=["sh", "-c", f"exec {one.line}"],
        env={"PATH": path, "PORT": port.number, **one.env},
        **{"workers": None, "threads": None, "chdir": None},
        **{"binds": binds, "bind_options": False},
    )


def facts(server, path="/", *fields):
    response = server.get(path, list(fields))
    assert response.status == 200, response
    return response.json()


def stdout_lines(server, count):
    wait_for(lambda: len(server.stdout().splitlines()) >= count, server.stdout, 10)
    return server.stdout().splitlines()
