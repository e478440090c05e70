"""What is said of an app that cannot be had: once, briefly, and how it would be right."""

import re

import pytest
from client import wait_for
from server import run

MAIN = """
async def asgi(scope, receive, send): pass
def three(scope, receive, send): pass
class Asgi:
    async def __call__(self, scope, receive, send): pass
instance = Asgi()
method = Asgi().__call__
def make_asgi(): return instance
def create_app(): return app
def app(environ, start_response):
    start_response("200 OK", [])
    return []
class Wsgi:
    def __call__(self, environ, start_response): return app(environ, start_response)
wsgi = Wsgi()
"""


@pytest.fixture
def start(tmp_path):
    (tmp_path / "main.py").write_text(MAIN)
    (tmp_path / "broken.py").write_text("import json\nimport no_such_thing\n")
    (tmp_path / "syntax.py").write_text("def f(:\n")
    (tmp_path / "bare.py").write_text("from main import create_app\n")

    def start(*words):
        return run("-w", "1", "-b", "127.0.0.1:0", *words, cwd=tmp_path)

    return start


def said(result):
    return [line for line in result.stderr.splitlines() if line.startswith("cwsgi: ")]


@pytest.mark.parametrize("options", [[], ["--preload"]])
@pytest.mark.parametrize("app", ["asgi", "three", "instance", "method", "make_asgi()"])
def test_an_asgi_app(serve, tmp_path, start, app, options):
    assert start("--check-config", f"main:{app}").returncode == 0
    server = serve(f"main:{app}", *options, chdir=tmp_path)
    # None of them answers: that they are told of a lifespan shows what they are taken for.
    assert server.get("/").status == 500
    wait_for(
        lambda: re.search("an ASGI app returns|the app returned without", server.log()),
        "a word on an ASGI app",
    )


def test_an_asgi_app_is_told_to_be_wsgi(serve, tmp_path, start):
    server = serve("main:asgi", "--interface", "wsgi", chdir=tmp_path)
    assert server.get("/").status == 500


@pytest.mark.parametrize("app", ["app", "wsgi", "Wsgi", "create_app()", "wsgi.__call__"])
def test_a_wsgi_app_is_none(start, app):
    result = start("--check-config", f"main:{app}")
    assert (result.returncode, result.stderr) == (0, "")


def test_a_factory_without_parentheses(start):
    result = start("main:create_app")
    assert result.returncode == 4
    assert "write 'main:create_app()'" in said(result)[0]


@pytest.mark.parametrize(
    "app, right",
    [
        ("main.py", "cwsgi main:app"),
        ("main.py:wsgi", "cwsgi main:wsgi"),
        ("./main:app", "cwsgi main:app"),
        ("./main.py", "cwsgi main:app"),
        ("/srv/shop/main:app", "cwsgi --chdir /srv/shop main:app"),
        ("src/main.py", "cwsgi --chdir src main:app"),
        ("/main:app", "cwsgi --chdir / main:app"),
    ],
)
@pytest.mark.parametrize("mount", [False, True])
def test_a_path_in_the_place_of_a_module(start, app, right, mount):
    result = start("--mount", f"/x={app}", "main:app") if mount else start(app)
    assert result.returncode == 1
    assert result.stderr == f"cwsgi: '{app}' is a path; the app is named by its module: {right}\n"


@pytest.mark.parametrize("file", ["app.ini", "conf/uwsgi.yaml", "pyproject.toml"])
def test_another_servers_file(start, file):
    result = start(file)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "module:name" in line and "gunicorn.conf.py" in line


@pytest.mark.parametrize(
    "app, hint, code",
    [
        ("main:ap", "did you mean 'app'?", 4),
        ("mian:app", "did you mean 'main'?", 3),
        ("bare", "did you mean 'bare:create_app()'?", 4),
        ("main:zzzzzz", "did you mean 'app'?", 4),
    ],
)
def test_the_nearest_name(start, app, hint, code):
    result = start(app)
    assert result.returncode == code
    (line,) = said(result)
    assert hint in line
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("app, error", [("broken", "ModuleNotFoundError"), ("syntax", "SyntaxErr")])
def test_a_failed_import_shows_the_apps_frames_once(start, app, error):
    result = start(f"{app}:app")
    assert result.returncode == 3
    assert "importlib" not in result.stderr
    assert len(re.findall(error, result.stderr)) == 1
    assert f'{app}.py", line' in result.stderr
    (line,) = said(result)
    assert f"cannot import '{app}:app'" in line


def test_who_does_not_see_the_log_is_told_the_reason(start, tmp_path):
    result = start("--error-logfile", "log", "broken:app")
    assert "No module named 'no_such_thing'" in said(result)[0]
    assert "Traceback" in (tmp_path / "log").read_text()
