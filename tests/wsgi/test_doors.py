"""Both doors into Python: the interpreter inside is the plain one in all that an app sees."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from server import APPS, TSAN, clean_env, program, run


def interpreter():
    """The python beside the program, else the one that runs the tests."""
    beside = Path(program()[-1]).with_name("python")
    return str(beside) if beside.exists() else sys.executable


def plain_facts(env, python=None):
    """What the plain interpreter says of itself under the same variables."""
    result = subprocess.run(
        [python or interpreter(), str(APPS / "doors.py")],
        env=clean_env(env),
        cwd=APPS,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return json.loads(result.stdout)


def served_facts(serve, env, **kwargs):
    return serve("doors:app", env=env, **kwargs).get("/").json()


def assert_same(served, plain):
    assert served.keys() == plain.keys()
    different = {key: (served[key], plain[key]) for key in plain if served[key] != plain[key]}
    assert not different


ENVIRONMENTS = {
    "nothing": {},
    "no bytecode": {"PYTHONDONTWRITEBYTECODE": None},
    "path": {"PYTHONPATH": f"{APPS}/pkg:/no/such/folder"},
    "hash seed": {"PYTHONHASHSEED": "0"},
    "other hash seed": {"PYTHONHASHSEED": "1234"},
    "optimize": {"PYTHONOPTIMIZE": "2"},
    "warnings": {"PYTHONWARNINGS": "error::UserWarning,ignore::ImportWarning"},
    "utf-8 mode": {"PYTHONUTF8": "1"},
    "no utf-8 mode": {"PYTHONUTF8": "0", "LC_ALL": "C"},
    "C locale": {"LC_ALL": "C"},
    "POSIX lang": {"LANG": "C", "LC_ALL": None, "LC_CTYPE": None},
    "no locale": {"LANG": None, "LC_ALL": None, "LC_CTYPE": None, "LANGUAGE": None},
    "no coercion": {"PYTHONCOERCECLOCALE": "0", "LANG": None, "LC_ALL": None, "LC_CTYPE": None},
    "C.UTF-8": {"LC_ALL": "C.UTF-8"},
    "io encoding": {"PYTHONIOENCODING": "latin-1:replace"},
    "unbuffered": {"PYTHONUNBUFFERED": "1"},
    "no user site": {"PYTHONNOUSERSITE": "1"},
    "dev mode": {"PYTHONDEVMODE": "1"},
    "pycache prefix": {"PYTHONPYCACHEPREFIX": "/no/such/cache"},
    "faulthandler": {"PYTHONFAULTHANDLER": "1"},
    "int digits": {"PYTHONINTMAXSTRDIGITS": "1000"},
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_same_as_the_plain_interpreter(serve, door, name):
    # The hash is only comparable where its seed is given.
    env = {"PYTHONHASHSEED": "7", **ENVIRONMENTS[name]}
    assert_same(served_facts(serve, {**env, "CWSGI_INTERPRETER": door}), plain_facts(env))


def test_hash_seed_is_random_by_default(serve, door):
    hashes = {served_facts(serve, {"CWSGI_INTERPRETER": door})["hash"] for _ in range(2)}
    assert len(hashes) == 2


def test_door_is_the_one_asked_for(serve, door):
    server = serve("doors:app", env={"CWSGI_INTERPRETER": door})
    executed = os.readlink(f"/proc/{server.worker().pid}/exe")
    assert ("python" in os.path.basename(executed)) == (door == "exec")


def test_argv(serve, door):
    """sys.argv[0] is the program, as for a script that was installed."""
    server = serve("doors:app", env={"CWSGI_INTERPRETER": door})
    argv = server.get("/argv").json()
    assert Path(argv[0]).name == "cwsgi"
    assert argv[0] == program()[-1]


def test_python_m(serve, door):
    """`python -m cwsgi` takes the same options and is the same inside."""
    if door == "exec" and TSAN:
        pytest.skip("ThreadSanitizer cannot be loaded by a program that runs already")
    env = {"CWSGI_INTERPRETER": door, "PYTHONHASHSEED": "7"}
    python = interpreter()
    facts = served_facts(serve, env, command=[python, "-m", "cwsgi"])
    assert_same(facts, plain_facts(env))
    assert facts["executable"] == plain_facts(env)["executable"]


def test_modules_of_the_app_start(serve, door):
    """Nothing of note is imported on the app's behalf: start-up costs what the app costs."""
    env = {"CWSGI_INTERPRETER": door}
    plain = subprocess.check_output(
        [interpreter(), "-c", "import doors, sys, json; print(json.dumps(sorted(sys.modules)))"],
        env=clean_env(env),
        cwd=APPS,
    )
    extra = set(serve("doors:app", env=env).get("/modules").json()) - set(json.loads(plain))
    # What the handler itself imported stays out of it.
    extra = {name for name in extra if not name.startswith(("multiprocessing", "cwsgi", "_cwsgi"))}
    assert len(extra) <= 3, extra


def test_stdin_is_empty(serve, door):
    assert serve("doors:app", env={"CWSGI_INTERPRETER": door}).get("/stdin").json() == ""


def test_multiprocessing_spawn(serve, door):
    server = serve("doors:app", env={"CWSGI_INTERPRETER": door})
    assert server.get("/spawn").json() == [0, 1, 4, 9, 16]


def test_subprocess(serve, door):
    server = serve("doors:app", env={"CWSGI_INTERPRETER": door})
    prefix, isolated = server.get("/subprocess").json()
    assert prefix == plain_facts({})["prefix"]
    assert isolated == "0"


def test_subprocess_inherits_no_socket(serve, door):
    """Not even where the app asks for all descriptors: a child must not hold the port."""
    server = serve("doors:app", env={"CWSGI_INTERPRETER": door})
    with server.connect() as idle:
        idle.ask("/")
        links = server.get("/descriptors").json()
    assert not [link for link in links if "socket:" in link or "eventpoll" in link], links
    numbers = {int(link.split()[0]) for link in links}
    assert numbers - {0, 1, 2} <= {3}, links  # 3: the listing of the folder itself.


def installed_in(venv):
    """Puts the program and the package into a venv, as installing a wheel would."""
    source = Path(importlib.util.find_spec("cwsgi").origin).parent
    python = venv / "bin" / "python"
    site_packages = Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))"], text=True
        ).strip()
    )
    shutil.copytree(source, site_packages / "cwsgi")
    shutil.copy(program()[-1], venv / "bin" / "cwsgi")
    return python, site_packages


@pytest.fixture(scope="module")
def venv(tmp_path_factory):
    if importlib.util.find_spec("cwsgi") is None:
        pytest.skip("cwsgi is not installed for this interpreter")
    folder = tmp_path_factory.mktemp("venv") / "v"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python, site_packages = installed_in(folder)
    (site_packages / "added.pth").write_text(f"{APPS}/pkg\nimport sys; sys.test_pth_ran = 'yes'\n")
    return python


@pytest.fixture
def server_in(serve, door, venv):
    def start(command, env=None):
        env = {"PYTHONHASHSEED": "7", "CWSGI_INTERPRETER": door, **(env or {})}
        return serve("doors:app", env=env, command=command)

    return start


def with_loader(command):
    """The launcher's own wrapper words (such as env VAR=...) stay in front."""
    return [*program()[:-1], *command]


def test_venv(server_in, venv):
    """A new venv: its prefix, its site-packages, its .pth files."""
    facts = server_in(with_loader([str(venv.with_name("cwsgi"))])).get("/").json()
    assert_same(facts, plain_facts({"PYTHONHASHSEED": "7"}, str(venv)))
    assert facts["prefix"] == str(venv.parent.parent)
    assert facts["pth"] == "yes"
    assert f"{APPS}/pkg" in facts["path"]


def test_venv_on_path(server_in, venv):
    """Called by its bare name, found by PATH."""
    env = {"PATH": f"{venv.parent}:{os.environ['PATH']}"}
    facts = server_in(with_loader(["env", "cwsgi"]), env).get("/").json()
    assert facts["prefix"] == str(venv.parent.parent)


def test_venv_by_symlink(server_in, venv, tmp_path):
    """A link to the program, as pipx and others make, leads to the same Python."""
    (tmp_path / "cwsgi").symlink_to(venv.with_name("cwsgi"))
    facts = server_in(with_loader([str(tmp_path / "cwsgi")])).get("/").json()
    assert facts["prefix"] == str(venv.parent.parent)


def test_python_named_by_variable_or_option(server_in, venv, serve, door):
    facts = server_in(None, {"CWSGI_PYTHON": str(venv)}).get("/").json()
    assert facts["prefix"] == str(venv.parent.parent)
    server = serve("doors:app", "--python", venv, env={"CWSGI_INTERPRETER": door})
    assert server.get("/").json()["prefix"] == str(venv.parent.parent)


def test_version():
    result = run("--version")
    assert result.returncode == 0
    words = result.stdout
    expected = ".".join(map(str, sys.version_info[:3]))
    assert re.search(r"cwsgi \d+\.\d+", words)
    assert re.search(rf"CPython {re.escape(expected)}", words)
    assert re.search(r"libuv \d+\.\d+\.\d+", words)
    assert re.search(r"llhttp \d+\.\d+\.\d+", words)
    assert re.search(r"zlib \d+\.\d+\.\d+", words)


def test_version_by_python_m():
    assert (
        run("--version", command=[interpreter(), "-m", "cwsgi"]).stdout == run("--version").stdout
    )


def test_package_is_thin():
    """`import cwsgi` costs next to nothing and drags nothing in."""
    code = "import sys; a = set(sys.modules); import cwsgi; print(len(set(sys.modules) - a))"
    count = subprocess.check_output([interpreter(), "-c", code], env=clean_env(), cwd="/")
    assert int(count) <= 5


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/true", "/etc/passwd"])
def test_no_such_python(python):
    result = run("--chdir", APPS, "hello:app", env={"CWSGI_PYTHON": python})
    assert result.returncode == 1
    assert python in result.stderr
    assert len(result.stderr.splitlines()) <= 2
