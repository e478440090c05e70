"""cwsgi record --format: hints for image formats whose files are fetched when they are read."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from server import run

ESTARGZ = Path(__file__).with_name("estargz")
MAIN = """
import linked.inner
raw = open("data.txt").read()
gone = open(b"not utf-8 \\xff").read() + open("two\\nlines").read()

def app(environ, start_response):
    start_response("200 OK", [])
    return [raw.encode()]
"""


@pytest.fixture
def folder(open_folder):
    """An app that reaches a package by a link, and reads files that no tool can be told of."""
    folder = open_folder / "app"
    (folder / "real").mkdir(parents=True)
    (folder / "linked").symlink_to("real")
    (folder / "main.py").write_text(MAIN)
    (folder / "real/__init__.py").write_text("")
    (folder / "real/inner.py").write_text("import _ctypes\n")
    for name in ("data.txt", b"not utf-8 \xff", "two\nlines"):
        with open(os.path.join(os.fsencode(folder), os.fsencode(name)), "w") as file:
            file.write("x" * 100)
    record(folder)  # writes the .pyc files
    return folder


def record(folder, *words):
    done = run("record", *words, "main:app", cwd=folder, env={"PYTHONDONTWRITEBYTECODE": None})
    assert done.returncode == 0, done.stderr
    return done.stdout


def hints(folder, form):
    """Records, and returns the paths in order."""
    path = folder / f"cwsgi.{form}"
    assert record(folder, "--format", form).startswith(f"{path}: ")
    text = path.read_text(encoding="utf-8")
    if form == "soci":
        return json.loads(text)
    if form == "nydus":
        return text.splitlines()
    found = [json.loads(line) for line in text.splitlines()]
    assert all(one.keys() == {"path"} for one in found)
    return ["/" + one["path"] for one in found]


@pytest.mark.parametrize("form", ["estargz", "nydus", "soci"])
def test_paths(folder, form):
    paths = hints(folder, form)
    assert paths == [os.path.realpath(path) for path in paths]
    assert all(os.path.isfile(path) for path in paths)
    assert len(set(paths)) == len(paths)
    ours = [path for path in paths if path.startswith(f"{folder}/") and "__init__" not in path]
    cached = f"{folder}/%s__pycache__/%s.{sys.implementation.cache_tag}.pyc"
    # Not the source of what has a .pyc file: whether it is there the format's index tells.
    assert ours == [cached % ("", "main"), cached % ("real/", "inner"), f"{folder}/data.txt"]


def test_it_is_not_taken_for_a_list(serve, folder):
    """Another format has another name, so that no server takes it for --prefetch."""
    (folder / "cwsgi.prefetch").unlink()
    hints(folder, "soci")
    server = serve("main:app", chdir=folder)
    assert server.get("/").body == b"x" * 100
    assert "prefetch" not in server.log()


def test_unknown(folder):
    done = run("record", "--format", "tar", "main:app", cwd=folder)
    assert done.returncode == 2 and "invalid choice: 'tar'" in done.stderr


# ---- eStargz, by its own library ----


@pytest.fixture(scope="module")
def estargz(tmp_path_factory):
    """The program in the folder of that name. Its library is fetched by `go mod download`
    there, once, and not by a test.
    """
    go = shutil.which("go")
    if not go:
        pytest.skip("no Go here")
    program = tmp_path_factory.mktemp("estargz") / "estargz"
    built = subprocess.run(
        [go, "build", "-o", program],
        cwd=ESTARGZ,
        env={**os.environ, "GOPROXY": "off", "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    if "GOPROXY=off" in built.stderr or "go.mod requires" in built.stderr:
        pytest.skip(f"not fetched, or for another Go: {built.stderr[-200:]}")
    assert built.returncode == 0, built.stderr
    return program


@pytest.mark.timeout(600)
def test_estargz(folder, tmp_path, estargz):
    """What a start reads is in front of the landmark, in its order, and nothing else is."""
    paths = hints(folder, "estargz")
    (folder / "cwsgi.prefetch").unlink()
    layer = tmp_path / "layer.tar"
    with tarfile.open(layer, "w") as file:
        # As an image has them: every parent, links as links.
        for parent in reversed(folder.relative_to("/").parents[:-1]):
            file.add(f"/{parent}", recursive=False)
        file.add(folder)
    with tarfile.open(layer) as file:
        names = [entry.name for entry in file if not entry.isdir()]
    done = subprocess.run(
        [estargz, folder / "cwsgi.estargz", layer], capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode("utf-8", "surrogateescape").replace("two\nlines", "two lines")
    found = shown.splitlines()
    at = found.index(".prefetch.landmark")
    inside = [path[1:] for path in paths if path.startswith(f"{folder}/")]
    assert found[:at] == inside and len(inside) == 4
    rest = {name.replace("\n", " ") for name in names} - set(inside)
    assert set(found[at + 1 :]) - {"stargz.index.json"} == rest
    assert {"main.py", "linked"} < {os.path.basename(name) for name in rest}
    # Python's own files are in other layers.
    assert int(done.stderr) == len(paths) - len(inside) > 0
