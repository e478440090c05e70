"""`python -m cwsgi`: what the interpreter was given stays with the workers; archives."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from server import TSAN, no_tsan, program

APP = """
import json, os, sys
import helping

def app(environ, start_response):
    start_response("200 OK", [])
    text = {
        "dev": sys.flags.dev_mode, "optimize": sys.flags.optimize, "warn": sys.warnoptions,
        "x": sorted(sys._xoptions), "path": sys.path, "helping": helping.__file__,
        "left": sorted(n for n in os.environ if n in ("CWSGI_PYTHON_FLAGS", "CWSGI_SYS_PATH")),
    }
    return [json.dumps(text).encode()]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "shown.py").write_text(APP)
    (tmp_path / "helping.py").write_text("")
    return tmp_path


def ask(server):
    return json.loads(server.get("/").body)


@pytest.mark.parametrize("options", [[], ["--preload"]])
def test_options_of_the_interpreter(serve, folder, options, door):
    if TSAN and door == "exec":
        pytest.skip("that interpreter is started without TSan's runtime")
    flags = ["-X", "dev", "-O", "-Werror", "-Xfrozen_modules=off", "-m", "cwsgi"]
    env = {"CWSGI_INTERPRETER": door}
    command = [sys.executable, *flags]
    server = serve("shown:app", *options, command=command, chdir=folder, env=env)
    seen = ask(server)
    assert seen["dev"] is True and seen["optimize"] == 1
    assert "error" in seen["warn"]
    assert seen["x"] == ["dev", "frozen_modules"]
    assert seen["left"] == []


@pytest.mark.parametrize(
    "flags", [["-Om", "cwsgi"], ["-OO", "-c", "import cwsgi.__main__ as m; m.main()"]]
)
def test_options_that_end_in_m(serve, folder, flags):
    server = serve("shown:app", command=[sys.executable, *flags], chdir=folder)
    assert ask(server)["optimize"] == flags[0].count("O")


def test_a_path_that_was_put_together(serve, folder):
    """As bootstraps of archives do, before they run a module."""
    hidden = folder / "hidden"
    hidden.mkdir()
    (folder / "helping.py").rename(hidden / "helping.py")
    code = f"import sys, runpy; sys.path.insert(1, {str(hidden)!r}); runpy.run_module('cwsgi')"
    code = code.replace("run_module('cwsgi')", "run_module('cwsgi', run_name='__main__')")
    server = serve("shown:app", command=[sys.executable, "-c", code], chdir=folder)
    seen = ask(server)
    assert seen["helping"] == str(hidden / "helping.py")
    assert seen["path"][0] == str(folder)


def test_a_relative_pythonpath_with_chdir(serve, folder):
    """Python makes it absolute as it starts; here it starts after --chdir."""
    library, apps = folder / "library", folder / "apps"
    for path in (library, apps):
        path.mkdir()
    (folder / "shown.py").rename(apps / "shown.py")
    (folder / "helping.py").rename(library / "helping.py")
    (library / "settings.py").write_text("import helping\ndef post_fork(server, worker): pass\n")
    enter = ["sh", "-c", f'cd {folder} && exec "$@"', "-", *program()]
    options = ["-c", "python:settings"]
    env = {"PYTHONPATH": "library"}
    server = serve("shown:app", *options, command=enter, chdir=apps, env=env)
    assert ask(server)["helping"] == str(library / "helping.py")


@pytest.fixture
def packages(folder):
    """What an archive is made of: the installed package, its program, the app."""
    target = folder / "packages"
    target.mkdir()
    installed = Path(sysconfig.get_path("platlib"))
    shutil.copytree(installed / "cwsgi", target / "cwsgi")
    (target / "bin").mkdir()
    shutil.copy(program()[0], target / "bin" / "cwsgi")
    for name in ("shown.py", "helping.py"):
        (folder / name).rename(target / name)
    return target


def run_tool(module, *words):
    pytest.importorskip(module)
    command = [sys.executable, "-m", module, *map(str, words)]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@no_tsan
def test_shiv(serve, folder, packages):
    file = folder / "app.pyz"
    run_tool("shiv", "--site-packages", packages, "-e", "cwsgi.__main__:main", "-o", file)
    env = {"SHIV_ROOT": folder / "root"}
    server = serve("shown:app", command=[sys.executable, "-I", file], chdir=None, env=env)
    assert str(folder / "root") in ask(server)["helping"]


@no_tsan
def test_pex(serve, folder, packages):
    file = folder / "app.pex"
    run_tool("pex", "-D", packages, "-e", "cwsgi.__main__:main", "-o", file, "--disable-cache")
    env = {"PEX_ROOT": folder / "root"}
    server = serve("shown:app", command=[sys.executable, file], chdir=None, env=env)
    assert str(folder / "root") in ask(server)["helping"]


def test_coverage_as_documented(serve, folder):
    """docs/tools.md: the worker's own lines are measured, its threads' too."""
    pytest.importorskip("coverage")
    (folder / "sitecustomize.py").write_text("import coverage\ncoverage.process_startup()\n")
    (folder / ".coveragerc").write_text(
        f"[run]\nparallel = true\nsource = {folder}\ndata_file = {folder}/.coverage\n"
    )
    env = {"PYTHONPATH": folder, "COVERAGE_PROCESS_START": folder / ".coveragerc"}
    server = serve("shown:app", chdir=folder, env=env)
    assert server.get("/").status == 200
    assert server.stop() == 0
    for command in (["combine"], ["json", "-o", "out.json"]):
        words = [sys.executable, "-m", "coverage", *command]
        subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=60)
    files = json.loads((folder / "out.json").read_text())["files"]
    (shown,) = [data for name, data in files.items() if name.endswith("shown.py")]
    assert shown["summary"]["missing_lines"] == 0
