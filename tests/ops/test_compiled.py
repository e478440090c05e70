"""The line about modules that are compiled at each start."""

import os
import re

import pytest
from client import wait_for

APP = """
import large
import package.large
def app(environ, start_response):
    import _frozen_importlib_external as external
    start_response("200 OK", [])
    return [type(vars(external.SourceLoader)["source_to_code"]).__name__.encode()]
"""
LARGE = "\n".join(
    f"def f{i}(a, b=({i}, 'x')):\n    return [a + {i} for _ in b]" for i in range(3000)
)
LINE = re.compile(r"\[WARNING\] (.*) compiled from source, which took about (\d+) ms")


@pytest.fixture
def tmp_path(open_folder):
    return open_folder


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "app"
    (folder / "package").mkdir(parents=True)
    (folder / "main.py").write_text(APP)
    (folder / "large.py").write_text(LARGE)
    (folder / "package" / "large.py").write_text(LARGE)
    (folder / "small.py").write_text("def app(environ, start_response):\n    pass\n")
    (folder / "wrong.py").write_text(f"{LARGE}\nraise RuntimeError\n")
    return folder


def lines(server):
    return LINE.findall(server.log())


@pytest.mark.parametrize("options", [[], ["--preload"]])
def test_not_wanted(serve, folder, options, door):
    """One line for all workers; importlib is as it was afterwards."""
    server = serve("main:app", *options, workers=2, chdir=folder, env={"CWSGI_INTERPRETER": door})
    wait_for(lambda: len(server.workers()) == 2 + len(options), "all workers")
    assert server.get("/").body == b"function"
    ((what, ms),) = lines(server)
    assert what == "3 modules were" and int(ms) >= 20
    assert "and PYTHONDONTWRITEBYTECODE keeps them from being written" in server.log()


def test_not_possible(serve, folder, for_nobody):
    """The second start finds what is there, and it is compiled again where it is older."""
    for_nobody["chdir"] = folder
    for_nobody["env"]["PYTHONDONTWRITEBYTECODE"] = None
    server = serve("main:app", "--user", "nobody", **for_nobody)
    ((what, _),) = lines(server)
    assert what == "3 modules were"
    assert f"they cannot be written in {folder}" in server.log()
    assert not list(folder.rglob("*.pyc"))


def test_written(serve, folder):
    env = {"PYTHONDONTWRITEBYTECODE": None}
    server = serve("main:app", chdir=folder, env=env)
    assert server.get("/").body == b"function" and not lines(server)
    assert len(list(folder.rglob("*.pyc"))) == 3
    # From now on PYTHONDONTWRITEBYTECODE costs nothing, until a source is newer.
    assert not lines(serve("main:app", chdir=folder))
    os.utime(folder / "large.py", (1, 1))
    ((what, _),) = lines(serve("main:app", chdir=folder))
    assert what == "1 module was"


def test_not_worth_a_line(serve, folder):
    server = serve("small:app", chdir=folder)
    assert not lines(server) and not server.log().count("pyc")


def test_a_broken_app(serve, folder):
    server = serve("wrong:app", chdir=folder, wait=False)
    assert server.wait_exit() == 3
    server.expected_exit = {3}
    assert [what for what, _ in lines(server)] == ["1 module was"]


def test_a_thread_that_outlasts_the_import(serve, folder):
    """What it imports later is compiled by importlib itself."""
    (folder / "threads.py").write_text(
        "import threading\n"
        "gate, done = threading.Event(), threading.Event()\n"
        "def run():\n    gate.wait()\n    import large\n    done.set()\n"
        "threading.Thread(target=run, daemon=True).start()\n"
        "def app(environ, start_response):\n"
        "    gate.set()\n    start_response('200 OK', [])\n"
        "    return [b'yes' if done.wait(20) else b'no']\n"
    )
    assert serve("threads:app", chdir=folder).get("/").body == b"yes"
