"""tools/need.sh tells or installs all that is missing at once."""

import os
import subprocess
from pathlib import Path

import pytest

NEED = Path(__file__).resolve().parents[2] / "tools" / "need.sh"


@pytest.fixture
def debian(tmp_path):
    """Calls need.sh on a machine that has the packages `here`, and whose apt knows `known`."""
    programs = tmp_path / "bin"
    programs.mkdir()

    def program(name, text):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)

    def call(*needs, here="", known="", user=0, fails=0):
        log = tmp_path / "log"
        log.write_text("")
        (tmp_path / "fails").write_text("x" * fails)
        program("dpkg-query", f'for p in {here}; do [ "$4" = $p ] && printf installed; done')
        program("apt-cache", f'for p in {known}; do [ "$2" = $p ] && exit 0; done; exit 100')
        program(
            "apt-get",
            f'echo "$@" >> {log}; [ "$1" = update ] && : > {tmp_path}/fails\n'
            f"[ ! -s {tmp_path}/fails ]",
        )
        program("id", f"echo {user}")
        env = {"PATH": f"{programs}:{os.environ['PATH']}"}
        answer = subprocess.run([NEED, *needs], env=env, capture_output=True, text=True)
        return answer.returncode, answer.stdout + answer.stderr, log.read_text().splitlines()

    return call


INSTALL = "install -qq -y --no-install-recommends"


def test_nothing_is_missing(debian):
    assert debian("gcc", "liba|libb", here="gcc libb", known="liba") == (0, "", [])


def test_all_is_named_at_once(debian):
    code, said, calls = debian(
        "gcc", "make", "liba|libb", "python:python3.999", here="make", known="gcc libb", user=1000
    )
    assert code == 1 and calls == []
    assert said == (
        "missing packages; as root: apt-get install gcc libb"
        " python3.999 python3.999-venv python3.999-dev\n"
    )


def test_root_installs_what_apt_knows(debian):
    code, said, calls = debian("gcc", "liba|libb", known="gcc libb liba")
    assert (code, said) == (0, "installing: gcc liba\n")
    assert calls == [f"{INSTALL} gcc liba"]


def test_old_lists_are_fetched_once(debian):
    code, _, calls = debian("liba|libb", fails=1)
    assert code == 0
    assert calls == [f"{INSTALL} liba", "update -qq", f"{INSTALL} liba"]


def test_interpreter_from_elsewhere(debian, tmp_path):
    """No package can mend that one."""
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    code, said, calls = debian(f"python:{python}")
    assert code == 1 and calls == []
    assert said.startswith(f"{python} has no ensurepip or no Python.h")
