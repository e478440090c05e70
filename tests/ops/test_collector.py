"""The garbage collector while an app is imported: it looks less often, and is given back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

APP = """
import gc, json, os
exec(os.environ.get("AT_IMPORT", ""))
SEEN = [gc.isenabled(), *gc.get_threshold()]

class Node:
    alive = 0
    def __init__(self):
        self.me = self
        Node.alive += 1
    def __del__(self):
        Node.alive -= 1

for _ in range(int(os.environ.get("CYCLES", "0"))):
    Node()
LEFT = Node.alive

def app(environ, start_response):
    young = gc.get_count()[0]
    now = [gc.isenabled(), *gc.get_threshold()]
    frozen = gc.get_freeze_count()
    gc.collect()
    start_response("200 OK", [])
    facts = {"seen": SEEN, "now": now, "frozen": frozen, "young": young, "left": LEFT,
             "alive": Node.alive}
    return [json.dumps(facts).encode()]
"""


@pytest.fixture(scope="module")
def default():
    """The numbers of this CPython."""
    run = [sys.executable, "-c", "import gc, json; print(json.dumps(gc.get_threshold()))"]
    return json.loads(subprocess.run(run, check=True, capture_output=True, timeout=60).stdout)


@pytest.fixture
def facts(serve, tmp_path, door):
    (tmp_path / "main.py").write_text(APP)

    def ask(*options, **env):
        env = {"CWSGI_INTERPRETER": door, **env}
        server = serve("main:app", *options, chdir=tmp_path, env=env)
        return json.loads(server.get("/").body)

    return ask


@pytest.mark.parametrize("options", [[], ["--preload"]])
def test_while_imported(facts, default, options):
    """On all the time; what the import made does not count as young."""
    found = facts(*options)
    assert found["seen"] == [True, 50021, *default[1:]]
    assert found["now"] == [True, *default]
    assert found["young"] < default[0]
    assert (found["frozen"] > 0) == bool(options)


def test_cycles_of_an_import(facts):
    """They are limited in number, and are found later."""
    found = facts(CYCLES="300000")
    assert found["left"] < 100_000
    assert found["alive"] == 0


@pytest.mark.parametrize(
    ("code", "now"),
    [
        ("gc.set_threshold(7)", [True, 7]),
        ("gc.set_threshold(900, 20, 30)", [True, 900, 20, 30]),
        ("gc.set_threshold(0)", [True, 0]),
        # As FastAPI's users are told to: everything from the present numbers.
        ("young, *old = gc.get_threshold(); gc.set_threshold(60000, *old)", [True, 60000]),
        ("gc.disable()", [False]),
    ],
)
def test_what_the_app_sets_stays(facts, default, code, now):
    found = facts(AT_IMPORT=code)
    assert found["now"] == now + [True, *default][len(now) :]


def test_what_the_app_freezes_stays(facts, default):
    found = facts(AT_IMPORT="gc.freeze()")
    assert found["frozen"] > 1000
    assert found["now"] == [True, *default]


@pytest.mark.parametrize("number", [0, 200_000])
def test_what_a_sitecustomize_sets_stays(facts, tmp_path, default, number):
    site = Path(tmp_path, "site")
    site.mkdir()
    (site / "sitecustomize.py").write_text(f"import gc\ngc.set_threshold({number})\n")
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    found = facts(PYTHONPATH=path)
    assert found["seen"] == found["now"] == [True, number, *default[1:]]
