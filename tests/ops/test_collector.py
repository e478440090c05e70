"""The garbage collector rests while an app is imported, and nothing that an app does notices."""

import json
import os
import subprocess
import sys

import pytest
from server import SANITIZE

APP = """
import gc, json, os, resource

def collections():
    return sum(one["collections"] for one in gc.get_stats())

class Node:
    alive = 0
    def __init__(self):
        self.me, self.more = self, {}
        Node.alive += 1
    def __del__(self):
        Node.alive -= 1

def make(count):
    for _ in range(count):
        Node()

def state():
    return [gc.isenabled(), *gc.get_threshold()]

SEEN, BEGAN, FROZEN = state(), collections(), gc.get_freeze_count()
exec(os.environ.get("AT_IMPORT", ""))
FACTS = {"seen": SEEN, "collections": collections() - BEGAN, "left": Node.alive,
         "frozen": FROZEN}

def app(environ, start_response):
    # CPython 3.12 has some hundred immortal objects among them.
    young, frozen = gc.get_count()[0], gc.get_freeze_count() > FACTS["frozen"] + 1000
    tasks = [open(f"/proc/self/task/{one}/comm").read().strip()
             for one in os.listdir("/proc/self/task")]
    exec(os.environ.get("AT_REQUEST", ""))
    began = collections()
    make(20_000)
    facts = {**FACTS, "now": state(), "collects": collections() > began, "young": young,
             "frozen": frozen, "tasks": tasks, "module": type(gc.disable).__name__}
    gc.collect()
    start_response("200 OK", [])
    return [json.dumps({**facts, "alive": Node.alive}).encode()]
"""


@pytest.fixture(scope="module")
def default():
    """What gc.get_threshold() has in this CPython."""
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
    """It seems to be on all the time; what was made does not count as young."""
    found = facts(*options, AT_IMPORT="make(20_000)")
    assert found["seen"] == found["now"] == [True, *default]
    assert found["collections"] == 0 and found["left"] == 20_000
    assert found["collects"] and found["alive"] == 0
    assert found["young"] < default[0]
    assert found["frozen"] == bool(options)
    assert "cwsgi-import" not in found["tasks"]


def test_an_import_that_makes_much_garbage(facts, default):
    """That many cycles would take more than 240 MiB."""
    found = facts(AT_IMPORT="make(1_500_000)")
    assert found["collections"] > 0 and found["left"] < 1_000_000
    assert found["now"] == [True, *default] and found["alive"] == 0


def test_garbage_in_large_pieces(facts):
    """It is the memory that counts, not the number of objects."""
    large = """
for _ in range(500):
    node = Node()
    node.data = b"x" * (2 << 20)
    node.others = [[] for _ in range(200)]
"""
    found = facts(AT_IMPORT=large)
    assert found["left"] < 100


def test_garbage_in_shared_memory(facts):
    large = """
import mmap
for _ in range(400):
    node = Node()
    node.data = mmap.mmap(-1, 2 << 20)
    node.data.write(b"x" * (2 << 20))
    node.others = [[] for _ in range(200)]
"""
    found = facts(AT_IMPORT=large)
    assert found["left"] < 100


def test_garbage_that_holds_descriptors(facts):
    """Too little memory to be noticed by that: the collector closes them."""
    files = """
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
for _ in range(min(most, 2000) // 2):
    node = Node()
    node.file = open(os.devnull, "rb", buffering=0)
del node
while collections() == BEGAN:
    []
"""
    assert facts(AT_IMPORT=files)["collections"] > 0


def test_no_descriptor_left(facts):
    """It gives back what it cannot watch."""
    files = """
most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, most[1]))
files = []
try:
    while True:
        files.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    make(1_500_000)
for fd in files:
    os.close(fd)
"""
    found = facts(AT_IMPORT=files)
    assert found["collections"] > 0 and found["left"] < 1_000_000


@pytest.mark.skipif(SANITIZE != "", reason="a sanitizer maps terabytes")
def test_no_memory_left(facts, default):
    """It has what it needs for that already."""
    memory = """
import time
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (66 << 20), resource.RLIM_INFINITY))
keep, n = [], 1 << 22
while n >= 8:
    try:
        while True:
            keep.append(b"x" * n)
    except MemoryError:
        n //= 2
# The watch looks meanwhile.
until = time.monotonic() + 0.2
while time.monotonic() < until:
    pass
keep.clear()
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""
    found = facts(AT_IMPORT=memory)
    assert found["now"] == [True, *default] and found["collects"]


@pytest.mark.parametrize(
    "code",
    ["import sys; sys.modules['gc'] = None", "del gc.isenabled, gc.freeze, gc.get_freeze_count"],
)
def test_a_module_that_the_app_has_altered(serve, tmp_path, code):
    (tmp_path / "main.py").write_text(
        "import gc\ndef app(environ, start_response):\n    start_response('200 OK', [])\n"
        f"    return [str(gc.get_threshold()).encode()]\n{code}\n"
    )
    assert serve("main:app", chdir=tmp_path).get("/").status == 200


@pytest.mark.parametrize(
    ("code", "now"),
    [
        ("gc.set_threshold(900, 20, 30)", [True, 900, 20, 30]),
        ("gc.set_threshold(3 * gc.get_threshold()[0])", [True]),
        ("gc.set_threshold(0)", [True, 0]),
        ("gc.disable(); assert not gc.isenabled()", [False]),
        ("gc.disable(); gc.enable(); assert gc.isenabled()", [True]),
        ("gc.enable(); gc.disable(); assert not gc.isenabled()", [False]),
        ("gc.disable(); make(20_000); gc.freeze(); gc.enable()", [True]),
    ],
)
def test_what_the_app_sets_stays(facts, default, code, now):
    found = facts(AT_IMPORT=code)
    if "3 *" in code:
        now = [True, 3 * default[0]]
    assert found["now"] == now + [True, *default][len(now) :]
    assert found["collects"] == (found["now"][0] and found["now"][1] > 0)
    assert found["frozen"] == ("freeze" in code)
    assert found["module"] == "builtin_function_or_method"


def test_functions_that_the_app_keeps(facts):
    keep = "from gc import disable, enable, isenabled"
    found = facts(
        AT_IMPORT=keep,
        AT_REQUEST="disable(); assert not isenabled() and not gc.isenabled()\n"
        "enable(); assert isenabled() and gc.isenabled()\n"
        "gc.disable(); assert not isenabled()",
    )
    assert found["now"][0] is False and not found["collects"]


def test_functions_that_the_app_replaces(facts):
    found = facts(AT_IMPORT="gc.disable = lambda real=gc.disable: real(); gc.disable()")
    assert found["now"][0] is False and not found["collects"]


FORK = """
import sys
def fork():
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        began = collections()
        make(20_000)
        os.write(into, b"1" if gc.isenabled() and collections() > began else b"0")
        os._exit(0)
    os.waitpid(pid, 0)
    return os.read(out, 1)
"""


@pytest.mark.parametrize(
    "way",
    [
        "assert fork() == b'1'",
        # In a thread, which is there for CPython to warn of: not while ours is, too.
        "import threading, warnings; warnings.simplefilter('ignore')\n"
        "got = []; one = threading.Thread(target=lambda: got.append(fork()))\n"
        "one.start(); one.join(); assert got == [b'1']",
    ],
    ids=["main", "thread"],
)
def test_a_child_that_an_import_forks(facts, default, way):
    """It collects, as what is imported after that does, and no warning tells of our thread."""
    found = facts(AT_IMPORT=FORK + way, PYTHONWARNINGS="error::DeprecationWarning:main")
    assert found["now"] == [True, *default] and found["collects"]
    assert "cwsgi-import" not in found["tasks"]


@pytest.mark.parametrize("code", ["gc.disable()", "gc.set_threshold(200_000)"])
def test_what_a_sitecustomize_sets_stays(facts, tmp_path, default, code):
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(f"import gc\n{code}\n")
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    found = facts(PYTHONPATH=path)
    assert found["seen"] == found["now"]
    off = "disable" in code
    assert found["now"] == ([False, *default] if off else [True, 200_000, *default[1:]])
