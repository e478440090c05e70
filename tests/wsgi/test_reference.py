"""The app reference: its forms, where it is looked for, and what is said when it fails."""

import json
import os
import re

import pytest
from client import wait_for
from server import APPS, Port, run


@pytest.mark.parametrize(
    "reference, words",
    [
        ("refs:app", "app"),
        ("refs:other", "other"),
        ("refs", "application"),
        ("hello", "Hello, World!\n"),
        ("refs:Nested.app", "nested"),
        ("refs:Nested.Deeper.app", "deeper"),
        ("refs:instance", "instance"),
        ("refs:instance.handle", "method"),
        ("refs:factory()", "[[], {}]"),
        (
            'refs:factory("a", 5, key=None, other=[1, {"x": (2.5, True)}])',
            '[["a", 5], {"key": null, "other": [1, {"x": [2.5, true]}]}]',
        ),
        ("refs:factory('it''s', -1)", '[["its", -1], {}]'),
        ('refs:strict_factory("x", size=3)', "x 3"),
        ("pkg", "package"),
        ("pkg:app", "package"),
        ("pkg.inner.wsgi", "deep in a package"),
        ("pkg.inner.wsgi:application", "deep in a package"),
    ],
)
def test_forms(serve, reference, words):
    assert serve(reference).get("/").body.decode() == words


def test_factory_is_called_once_per_worker(serve):
    server = serve("refs:factory()", workers=2)
    wait_for(lambda: len(server.marks("made")) == 2, "both workers to have made their app")
    for _ in range(10):
        server.get("/")
    assert len(server.marks("made")) == 2


def info(server):
    return json.loads(server.get("/").body)


def test_current_folder_is_the_default(serve, tmp_path):
    """Without --chdir the app is found in the current folder, before all others."""
    (tmp_path / "server0").mkdir()
    (tmp_path / "server0" / "json.py").write_text("shadow = True\n")
    (tmp_path / "server0" / "here.py").write_text(
        "import json, sys\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [(sys.path[0] + ' ' + str(json.shadow)).encode()]\n"
    )
    server = serve("here:app", chdir=None)
    assert server.get("/").body.decode() == f"{server.folder} True"


def test_chdir(serve):
    seen = info(serve("refs:info"))
    assert seen["cwd"] == str(APPS)
    assert seen["path"][0] == str(APPS)


def test_relative_chdir(serve, tmp_path):
    (tmp_path / "server0" / "app").mkdir(parents=True)
    (tmp_path / "server0" / "app" / "mod.py").write_text((APPS / "hello.py").read_text())
    assert serve("mod:app", chdir="app").get("/").status == 200


def test_pythonpath(serve, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, name in ((one, "first"), (two, "second")):
        folder.mkdir()
        (folder / f"only_{name}.py").write_text((APPS / "hello.py").read_text())
    seen = info(serve("refs:info", "--pythonpath", f"{one},{two}"))
    assert {str(one), str(two)} <= set(seen["path"])
    assert serve("only_second:app", "--pythonpath", f"{one},{two}").get("/").status == 200


def test_env(serve):
    server = serve(
        "refs:info",
        *("-e", "ONE=1", "--env", "TWO=a=b c", "-e", "EMPTY="),
        env={"ONE": "0", "KEPT": "yes"},
    )
    env = info(server)["env"]
    assert (env["ONE"], env["TWO"], env["EMPTY"], env["KEPT"]) == ("1", "a=b c", "", "yes")


def test_port_variable_is_the_default_address(serve):
    port = Port("0.0.0.0")
    port.host = "127.0.0.1"
    server = serve("refs:info", binds=[port], env={"PORT": port.number}, bind_options=False)
    assert info(server)["env"]["PORT"] == str(port.number)


@pytest.fixture
def fails(serve, tmp_path):
    """Starts a server that must fail; the port must be refused until the end."""

    def start(reference, *options, source=None, status=3, **kwargs):
        chdir = APPS
        if source is not None:
            chdir = tmp_path / "source"
            chdir.mkdir(exist_ok=True)
            (chdir / "broken.py").write_text(source)
        server = serve(reference, *options, wait=False, chdir=chdir, **kwargs)
        server.expected_exit = {status}
        while server.proc.poll() is None:
            assert server.binds[0].refuses() or server.proc.poll() is not None
        assert server.proc.returncode == status, server.log()
        return server.log(), str(chdir)

    return start


IMPORT_FAILURES = {
    "raises": ("x = 1\nraise RuntimeError('import went wrong')\n", "import went wrong"),
    "syntax": ("def broken(:\n", "SyntaxError"),
    "dependency": ("import no_such_dependency\n", "no_such_dependency"),
    "exit": ("import sys\nsys.exit(0)\n", "SystemExit"),
    "interrupt": ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
}


@pytest.mark.parametrize("kind", IMPORT_FAILURES)
@pytest.mark.parametrize("workers", [1, 3])
def test_import_fails(fails, kind, workers):
    source, text = IMPORT_FAILURES[kind]
    log, cwd = fails("broken:app", source=source, workers=workers)
    assert log.count("Traceback (most recent call last)") == 1 or kind == "syntax"
    assert log.count(text) >= 1
    assert len(re.findall(r"^.*\bbroken:app\b.*$", log, re.M)) == 1
    (line,) = [line for line in log.splitlines() if "broken:app" in line]
    assert cwd in line


def test_traceback_starts_at_the_app(fails):
    """Nothing of the import machinery or of cwsgi itself stands above the app's line."""
    log, _ = fails("broken:app", source="\n\nraise RuntimeError('here')\n")
    after = log.partition("Traceback (most recent call last):\n")[2]
    assert re.match(r'\s*File ".*broken\.py", line 3, in <module>', after), log


def test_module_is_missing(fails):
    log, cwd = fails("no_such_module:app")
    assert log.count("Traceback (most recent call last)") <= 1
    (line,) = [line for line in log.splitlines() if "no_such_module:app" in line]
    assert cwd in line


@pytest.mark.parametrize(
    "reference, said",
    [
        ("refs:no_such", "no_such"),
        ("refs:Nested.no_such", "no_such"),
        ("refs:number", "int"),
        ("refs:nothing", "None"),
        ("refs:number_factory()", "int"),
        ("refs:strict_factory()", "strict_factory"),
        ("refs:strict_factory(1, 2, 3)", "strict_factory"),
        ("refs:strict_factory(1, colour=2)", "colour"),
        ("refs:failing_factory()", "factory went wrong"),
        ("refs:no_such(1)", "no_such"),
        ("common:STATE", "Path"),
    ],
)
def test_app_object_is_missing_or_wrong(fails, reference, said):
    log, _ = fails(reference, status=4)
    assert said in log
    if "went wrong" not in said:
        assert "Traceback" not in log
    assert reference.partition("(")[0].rpartition(":")[2].rpartition(".")[2] in log


def test_bare_module_without_an_app(fails):
    log, _ = fails("common", status=4)
    assert "application" in log and "Traceback" not in log


@pytest.mark.parametrize(
    "reference",
    [
        "refs:",
        ":app",
        "refs:app(",
        "refs:1+1",
        "refs:app()()",
        "refs:factory(name)",
        "refs:a b",
        "",
    ],
)
def test_malformed_reference(fails, reference):
    log, _ = fails(reference, status=4)
    assert log.strip() and "Traceback" not in log


def test_port_is_refused_until_the_app_is_imported(serve):
    """Refused at once: neither accepted nor left hanging."""
    server = serve("slow_import:app", wait=False)
    server.wait_marks("importing")
    for _ in range(20):
        assert server.binds[0].refuses()
    server.open_gate("import")
    server.wait_ready()
    assert server.get("/").body == b"imported"


def test_port_is_never_opened_if_the_import_fails_late(serve):
    server = serve("slow_import:app", wait=False, workers=2)
    server.expected_exit = {3}
    server.wait_marks("importing")
    server.open_gate("fail")
    server.open_gate("import")
    while server.proc.poll() is None:
        assert server.binds[0].refuses()
    assert server.log().count("Traceback") == 1


def test_port_in_use(serve):
    first = serve("hello:app")
    again = run("-b", first.binds[0], "--chdir", APPS, "hello:app")
    assert again.returncode == 1
    assert str(first.binds[0].number) in again.stderr
    assert "Traceback" not in again.stderr
    assert first.get("/").status == 200


def test_address_of_no_interface():
    result = run("-b", "192.0.2.1:8000", "--chdir", APPS, "hello:app")
    assert result.returncode == 1
    assert "192.0.2.1" in result.stderr


def test_one_address_of_two_in_use(serve):
    first = serve("hello:app")
    port = Port()
    again = run("-b", port, "-b", first.binds[0], "--chdir", APPS, "hello:app")
    assert again.returncode == 1
    assert port.refuses()
    port.close()


@pytest.mark.parametrize(
    "options, said, code",
    [
        (["--tread", "4"], "--threads", 2),
        (["--wokers", "4"], "--workers", 2),
        (["--gracefull-timeout", "4"], "--graceful-timeout", 2),
        (["--keepalive", "4"], "--keep-alive", 2),
        (["--bnd=:80"], "--bind", 2),
        (["--no-such-thing-at-all"], "--no-such-thing-at-all", 2),
        (["--threads", "many"], "threads", 2),
        (["--threads", "-1"], "threads", 2),
        (["-w", "x"], "-w", 2),
        (["--threads"], "threads", 2),
        (["-b", "nonsense:port"], "nonsense:port", 1),
        (["-b", "127.0.0.1:99999"], "99999", 1),
        (["-e", "=NONAME"], "NONAME", 1),
        (["--chdir", "/no/such/folder"], "/no/such/folder", 1),
    ],
)
def test_bad_options(options, said, code, tmp_path):
    """2: no such command line; 1: no such thing as it names."""
    result = run(*options, "hello:app", cwd=tmp_path)
    assert result.returncode == code
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) <= 2


def test_no_app_at_all(tmp_path):
    result = run("--threads", "1", cwd=tmp_path)
    assert result.returncode == 1  # a file could have named it
    assert "no app was named" in result.stderr and "Traceback" not in result.stderr


def test_help_names_every_option():
    result = run("--help")
    assert result.returncode == 0
    for option in ("--bind", "--workers", "--threads", "--chdir", "--pythonpath", "--env"):
        assert option in result.stdout


def test_surroundings_of_the_app_stay_clean(serve):
    """No variable of the server's own is left in the app's environment."""
    env = info(serve("refs:info"))["env"]
    own = {key for key in env if key not in os.environ and "CWSGI" in key}
    assert own <= {"CWSGI_TEST_DIR", "CWSGI_TEST_TAG"}
    assert env["SERVER_SOFTWARE"].startswith("cwsgi/")
