"""cwsgi compile: which .pyc files it writes, and which it does not."""

import importlib.util
import marshal
import os
import subprocess
import sys

import pytest
from server import clean_env, in_read_only_root, program, run

MAIN = """
import package.inner
import space.leaf
raw = open("data.txt").read()

def make(kind="plain"):
    import made
    return lambda environ, start_response: None

def app(environ, start_response):
    pass
"""


@pytest.fixture
def tmp_path(open_folder):
    return open_folder


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "app"
    (folder / "package").mkdir(parents=True)
    (folder / "space").mkdir()
    (folder / "main.py").write_text(MAIN)
    (folder / "made.py").write_text("")
    (folder / "unused.py").write_text("")
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "inner.py").write_text('"""Text."""\nassert True\n')
    (folder / "space" / "leaf.py").write_text("")
    (folder / "data.txt").write_text("")
    (folder / "broken.py").write_text("import package.inner\nraise RuntimeError('too bad')\n")
    return folder


def compile_app(folder, *words, env=None, **kwargs):
    return run("compile", *words, cwd=folder, env=env, **kwargs)


def written(folder):
    return sorted(path.name.partition(".cpython")[0] for path in folder.rglob("*.pyc"))


def cached(path, level=""):
    return importlib.util.cache_from_source(path, optimization=level)


def head(path, level=""):
    with open(cached(path, level), "rb") as file:
        return file.read(16)


def flags_of(path, level=""):
    return int.from_bytes(head(path, level)[4:8], "little")


def test_what_is_imported(folder, door):
    done = compile_app(folder, "main:app", env={"CWSGI_INTERPRETER": door})
    assert done.returncode == 0, done.stderr
    assert written(folder) == ["__init__", "inner", "leaf", "main"]
    assert done.stdout.startswith("wrote ") and "unchecked" in done.stdout
    for path in (folder / "main.py", folder / "package" / "inner.py"):
        data = open(cached(path), "rb").read()
        assert data[:4] == importlib.util.MAGIC_NUMBER and flags_of(path) == 1
        assert data[8:16] == importlib.util.source_hash(path.read_bytes())
        assert marshal.loads(data[16:]).co_filename == str(path)
    # It is what Python takes: the source is not looked at.
    os.utime(folder / "package" / "inner.py", (1, 1))
    (folder / "package" / "inner.py").write_text("raise RuntimeError")
    command = [sys.executable, "-c", "import package.inner as i; print(i.__doc__)"]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=clean_env())
    assert answer.stdout == "Text.\n", answer.stderr


def test_a_second_time(folder):
    assert compile_app(folder, "main:app").returncode == 0
    before = os.stat(cached(folder / "main.py")).st_ino
    done = compile_app(folder, "main:app")
    assert done.stdout.startswith("wrote 0 .pyc files")
    assert os.stat(cached(folder / "main.py")).st_ino == before
    # Another content, another kind.
    (folder / "made.py").write_text("x = 1")
    (folder / "main.py").write_text(MAIN + "# more\n")
    assert compile_app(folder, "main:app").stdout.startswith("wrote 1 .pyc files")
    done = compile_app(folder, "--invalidation", "timestamp", "main:app")
    assert done.returncode == 0 and flags_of(folder / "main.py") == 0
    assert head(folder / "main.py")[12:] == len(MAIN + "# more\n").to_bytes(4, "little")
    done = compile_app(folder, "--invalidation", "checked", "main:app")
    assert done.returncode == 0 and flags_of(folder / "main.py") == 3


def test_levels(folder):
    done = compile_app(folder, "-O", "1", "-O", "2", "main:app")
    assert done.returncode == 0
    inner = folder / "package" / "inner.py"
    constants = {}
    for level in ("1", "2"):
        code = marshal.loads(open(cached(inner, level), "rb").read()[16:])
        constants[level] = "Text." in code.co_consts
    assert constants == {"1": True, "2": False}
    assert not os.path.exists(cached(inner))
    # What the app is started with.
    assert compile_app(folder, "main:app", env={"PYTHONOPTIMIZE": "2"}).returncode == 0
    assert not os.path.exists(cached(inner))


@pytest.mark.parametrize(
    "words, name",
    [
        (["--factory", "main:make"], "made"),
        (["main:make('x')"], "made"),
        (["--mount", "/x=main:make()", "unused:__name__.upper"], "made"),
    ],
)
def test_factories_and_mounts(folder, words, name):
    assert compile_app(folder, *words).returncode == 0
    assert name in written(folder)


def test_another_folder(folder):
    done = compile_app(folder.parent, "--chdir", folder, "main:app")
    assert done.returncode == 0 and "main" in written(folder)
    done = compile_app(
        "/", "--pythonpath", folder / "package", "--chdir", folder, "inner:__name__.upper"
    )
    assert done.returncode == 0


def test_a_dry_run(folder):
    done = compile_app(folder, "--dry-run", "main:app")
    assert done.returncode == 0 and done.stdout.startswith("would write ")
    assert not written(folder)


@pytest.mark.parametrize("words", [["broken:app"], ["nothing:app"], ["main:missing"]])
def test_a_broken_app(folder, words):
    done = compile_app(folder, *words)
    assert done.returncode == 1 and not written(folder)
    assert done.stderr.splitlines()[-1].startswith("cwsgi compile: the app cannot be imported")


def test_words(folder):
    assert compile_app(folder).returncode == 2
    assert compile_app(folder, "-O", "3", "main:app").returncode == 2
    done = compile_app(folder, "--no-such-option", "main:app")
    assert done.returncode == 1 and "--no-such-option" in done.stderr
    done = compile_app(folder, "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: cwsgi compile")


def test_links_are_not_followed(folder):
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (folder / "package" / "__pycache__").symlink_to(elsewhere)
    (folder / "__pycache__").mkdir()
    os.symlink(elsewhere / "victim", cached(folder / "main.py"))
    done = compile_app(folder, "main:app")
    assert done.returncode == 1
    assert "its folder is a link" in done.stderr
    assert "there is something else of that name" in done.stderr
    assert not os.listdir(elsewhere) and written(folder) == ["leaf", "main"]


def test_no_rights(folder, for_nobody):
    """A user who may write nothing is told so, and leaves nothing."""
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *program()]
    env = {**for_nobody["env"], "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": None}
    done = run("compile", "main:app", cwd=folder, env=env, command=command)
    assert done.returncode == 1, done.stderr
    assert "no right to write there" in done.stderr and "could not be written" in done.stdout
    assert not list(folder.rglob("__pycache__"))


def test_a_read_only_root(folder):
    """The app is imported all the same, and each file named that could not be written."""
    mount = f"mount --bind '{folder}' '{folder}' && mount -o remount,ro,bind '{folder}'"
    inner = f"{mount} && cd '{folder}' && exec \"$@\""
    command = ["unshare", "-m", "sh", "-c", inner, "sh", *program()]
    if subprocess.run([*command[:4], mount], capture_output=True).returncode:
        pytest.skip("no right to mount")
    done = run("compile", "main:app", command=command)
    assert done.returncode == 1, done.stderr
    assert "the file system is read-only" in done.stderr and not written(folder)


def test_nowhere_to_write(folder):
    """Without a folder for its own files, memory does."""
    inside = in_read_only_root(folder)
    if not inside:
        pytest.skip("no right to mount")
    done = run("compile", "main:app", command=[*inside, *program()])
    assert done.returncode == 1 and "the file system is read-only" in done.stderr
    hidden = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o ro none /dev/shm && exec "$@"', "sh"]
    done = run("compile", "main:app", command=[*hidden, *inside, *program()])
    assert done.returncode == 1 and "name one with $TMPDIR" in done.stderr
    assert "Traceback" not in done.stderr and not written(folder)


def test_several_at_once(folder):
    """Each writes whole files; no part of one stays behind."""
    command = [*program(), "compile", "main:app"]
    several = [
        subprocess.Popen(command, cwd=folder, env=clean_env(), stdout=subprocess.DEVNULL)
        for _ in range(4)
    ]
    assert [one.wait(60) for one in several] == [0] * 4
    assert written(folder) == ["__init__", "inner", "leaf", "main"]
    assert not [p for p in folder.rglob("__pycache__/*") if p.suffix != ".pyc"]


def test_a_start_afterwards_compiles_nothing(folder, serve):
    (folder / "main.py").write_text(
        MAIN.replace("pass", "start_response('200 OK', [])\n    return []")
        + "".join(f"def f{i}(a=({i}, 'x')): return [a + {i} for _ in a]\n" for i in range(5000))
    )
    compiled = "compiled from source"
    assert compiled in serve("main:app", chdir=folder).log()
    assert compile_app(folder, "main:app").returncode == 0
    server = serve("main:app", chdir=folder)
    assert server.get("/").status == 200 and compiled not in server.log()
