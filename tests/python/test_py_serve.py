"""cwsgi.serve(): what the script becomes."""

import json
import os
import subprocess
import sys
import textwrap

import cwsgi
import pytest
from client import SLOW
from cwsgi._serve import SERVING, arguments, option, reference_of

# In place of os.execv: says what would be executed and ends.
FAKE = """\
import json, os, sys
def execv(program, words):
    print(json.dumps([program, words, os.environ["CWSGI_SERVING"] == str(os.getpid())]))
    raise SystemExit(0)
os.execv = execv
"""
APP = "def app(environ, start_response): pass\n"


@pytest.fixture
def run(tmp_path):
    """Runs a script of this source and returns the words that it executes."""

    def start(source, *how, name="main.py", cwd=tmp_path, fails=False):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(FAKE + textwrap.dedent(source))
        done = subprocess.run(
            [sys.executable, *(how or [str(path)])],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=20 * SLOW,
        )
        if fails:
            assert done.returncode == 1, done.stderr
            return done.stderr
        assert done.returncode == 0, done.stderr
        program, words, marked = json.loads(done.stdout.splitlines()[-1])
        assert os.path.basename(program) == "cwsgi" and words[0] == program and marked
        return words[1:]

    return start


def test_name(run, tmp_path):
    words = run("import cwsgi; cwsgi.serve('main:app')")
    assert words == [f"--pythonpath={tmp_path}", "--", "main:app"]


def test_object_of_the_script(run, tmp_path):
    words = run(f"{APP}import cwsgi\nif __name__ == '__main__': cwsgi.serve(app)")
    assert words == [f"--pythonpath={tmp_path}", "--", "main:app"]


def test_script_elsewhere(run, tmp_path):
    source = f"{APP}import cwsgi\ncwsgi.serve(app, workers=2, bind=':8000')"
    words = run(source, name="src/my-app.py", cwd="/")
    folder = f"--pythonpath={tmp_path}/src"
    assert words == ["--workers=2", "--bind=:8000", folder, "--", "my-app:app"]


def test_pythonpath_is_added_to(run, tmp_path):
    words = run("import cwsgi; cwsgi.serve('main:app', pythonpath='/a,/b')")
    assert words == [f"--pythonpath={tmp_path},/a,/b", "--", "main:app"]


def test_instance_of_a_class(run):
    """As Flask's: the object says nothing of its home."""
    source = """
        import cwsgi, functools
        class Flask:
            def __call__(self, environ, start_response): pass
        other = application = Flask()
        cwsgi.serve(application)
    """
    assert run(source)[-1] == "main:application"


def test_app_of_another_module(run, tmp_path):
    (tmp_path / "home.py").write_text(APP)
    assert run("import cwsgi; from home import app as mine; cwsgi.serve(mine)")[-1] == "home:app"


def test_module(run):
    words = run(f"{APP}import cwsgi\ncwsgi.serve(app)", "-m", "pkg.main", name="pkg/main.py")
    assert words == ["--", "pkg.main:app"]


def test_output_is_not_lost(tmp_path):
    """What the script printed stands in a buffer that the next program does not have."""
    (tmp_path / "main.py").write_text(
        "import os, sys\n"
        "os.execv = lambda *words: os._exit(0)\n"  # nothing is flushed from here on
        "sys.stderr = open('stderr', 'w')\n"
        "print('printed', end='')\n"
        "print('complained', end='', file=sys.stderr)\n"
        "import cwsgi\n"
        "cwsgi.serve('a:b')\n"
    )
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, capture_output=True, timeout=20 * SLOW
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"printed"
    assert (tmp_path / "stderr").read_text() == "complained"


def test_no_name(run):
    log = run("import cwsgi; cwsgi.serve(lambda e, s: None)", fails=True)
    assert 'ValueError: serve(): no module has this app under a name of its own; pass "mod' in log


def test_no_program(run):
    source = """
        import cwsgi.__main__
        cwsgi.__main__.find_program = lambda: None
        cwsgi.serve("a:b")
    """
    assert "the program `cwsgi` was not found" in run(source, fails=True)


def test_script_whose_name_cannot_be_imported(run):
    log = run(f"{APP}import cwsgi\ncwsgi.serve(app)", name="main.v2.py", fails=True)
    assert "ValueError" in log


def test_call_by_the_apps_import(monkeypatch):
    """A script without `if __name__ == "__main__"` would execute itself over and over."""
    monkeypatch.setenv(SERVING, str(os.getppid()))
    with pytest.raises(RuntimeError, match="__main__"):
        cwsgi.serve("main:app")


def test_what_is_no_app():
    with pytest.raises(TypeError, match="the app is a int, which is not callable"):
        reference_of(5)


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("workers", 2, ["--workers=2"]),
        ("timeout", 1.5, ["--timeout=1.5"]),
        ("keepalive", 5, ["--keep-alive=5"]),
        ("bind", [":1", "unix:a"], ["--bind=:1", "--bind=unix:a"]),
        ("bind", ":1", ["--bind=:1"]),
        ("raw_env", ("A=1",), ["--env=A=1"]),
        ("preload_app", True, ["--preload"]),
        ("preload_app", False, []),
        ("sendfile", False, ["--no-sendfile"]),
        ("sendfile", True, ["--sendfile"]),
        ("accesslog", None, []),
        ("accesslog", "-", ["--access-logfile=-"]),
        ("forwarded_allow_ips", ["a", "b"], ["--forwarded-allow-ips=a,b"]),
        ("trusted_proxy_headers", ["a", "b"], ["--trusted-proxy-headers=a,b"]),
        ("clear_untrusted_proxy_headers", True, ["--clear-untrusted-proxy-headers"]),
        ("proxy_protocol", True, ["--proxy-protocol=auto"]),
        ("proxy_protocol", "v2", ["--proxy-protocol=v2"]),
        ("buffer_body", "64k", ["--buffer-body=64k"]),
        ("mount", ["/a=b:c"], ["--mount=/a=b:c"]),
    ],
)
def test_options(name, value, words):
    assert option(name, value) == words


def test_path_objects(tmp_path):
    assert option("chdir", tmp_path) == [f"--chdir={tmp_path}"]


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("wrokers", 2, "unexpected option 'wrokers'"),
        ("logconfig_dict", {}, "only be set in a configuration file"),
        ("workers", True, "workers cannot be True"),
        ("workers", [1], "workers cannot be"),
        ("bind", object(), "bind cannot be"),
        ("preload_app", "yes", "preload_app is True or False"),
        ("post_fork", print, "unexpected option 'post_fork'"),
    ],
)
def test_wrong_options(name, value, words):
    with pytest.raises(TypeError, match=words):
        arguments("main:app", {name: value})


def test_comma_in_a_folder():
    with pytest.raises(ValueError, match="comma"):
        arguments("main:app", {"pythonpath": ["/a,b"]})
