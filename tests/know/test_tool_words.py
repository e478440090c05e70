"""`cwsgi WORD`: which words run a tool, and that all else is an app as ever."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from server import no_tsan, program, run

ROOT = Path(__file__).resolve().parents[2]
SOURCE = (ROOT / "csrc/launcher/tools.c").read_text()
WORDS = re.findall(r'^\s*(?:const cw_command_t cw_tools\[\] = )?\{"(\w+)",', SOURCE, re.M)

pytestmark = no_tsan


def test_each_word_has_a_module():
    modules = {path.stem for path in (ROOT / "python/cwsgi/_tools").glob("[a-z]*.py")}
    assert set(WORDS) == modules and "dump" in WORDS


@pytest.mark.parametrize("word", WORDS)
def test_help(word, door):
    env = {"CWSGI_INTERPRETER": door}
    shown = run(word, "--help", env=env)
    assert shown.returncode == 0 and shown.stdout.startswith(f"usage: cwsgi {word} ")
    assert run("help", word, env=env).stdout == shown.stdout
    assert re.search(rf"^  {word} +\S", run("--help").stdout, re.M)
    assert run("help").stdout == run("--help").stdout
    assert f"\n.B {word}\n" in run("--help-man").stdout


def test_a_word_is_wrong():
    done = run("dump", "--nope")
    assert done.returncode == 2 and "usage: cwsgi dump" in done.stderr


@pytest.mark.parametrize("shape", ["dump:app", "-- dump", "-t 30 dump"])
def test_a_module_of_that_name_is_served(serve, tmp_path, shape):
    (tmp_path / "dump.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Length', '2')])\n"
        "    return [b'ok']\n"
    )
    # Whatever else is on the command line comes before the word.
    server = serve(None, *shape.split(), chdir=tmp_path) if shape != "dump:app" else None
    server = server or serve("dump:app", chdir=tmp_path)
    assert server.get("/").body == b"ok"


@pytest.mark.parametrize("word", ["dump", "top"])
def test_what_is_no_pid_file(word, tmp_path):
    """Neither what has no end nor what nobody writes to is waited for."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("/dev/zero", tmp_path / "pipe"):
        done = run(word, name)
        assert done.returncode == 1
        assert done.stderr == f"cwsgi {word}: {name} is no pid file: it has no number\n"


@pytest.mark.parametrize("option", ["dump --timeout", "top --interval"])
@pytest.mark.parametrize("text", ["nan", "inf", "-1", "0", "1e99", "soon"])
def test_what_nobody_would_wait(option, text):
    done = run(*option.split(), text)
    assert done.returncode == 2 and f"argument {option.split()[1]}: " in done.stderr


@pytest.mark.parametrize("word", ["dump", "top"])
@pytest.mark.parametrize("to, code", [("/dev/full", 1), (None, 0)])
def test_nobody_can_be_told(serve, word, to, code):
    """The disk is full, or there is no standard output: no traceback."""
    server = serve("ops:app")
    args = ["--once", "--interval", "0.1"] if word == "top" else []
    command = [*program(), word, *args, str(server.pid)]
    if to is None:
        command = ["sh", "-c", '"$@" >&-', "sh", *command]
    with open(to or os.devnull, "w") as out:
        done = subprocess.run(
            command, stdout=out, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == code
    assert done.stderr == ("" if to is None else f"cwsgi {word}: No space left on device\n")


def test_any_number_of_words():
    done = run("dump", *(["1"] * 500))
    assert done.returncode == 2 and "unrecognized arguments" in done.stderr


def test_python_m():
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-m", "cwsgi", "help", "dump"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and done.stdout.startswith("usage: cwsgi dump")


def test_a_python_without_the_package(tmp_path):
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    done = run("dump", env={"CWSGI_PYTHON": venv / "bin/python"})
    assert done.returncode == 1
    assert "has no cwsgi of this version" in done.stderr and "Traceback" not in done.stderr


def test_what_the_app_has_is_not_imported(tmp_path):
    """A tool may run as root where others can write."""
    for name in ("argparse", "signal", "cwsgi", "mmap"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken over')\n")
    done = run("dump", "--help", cwd=tmp_path)
    assert done.returncode == 0 and "taken over" not in done.stdout + done.stderr
