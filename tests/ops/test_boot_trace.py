"""--boot-trace: what it says of a start, and that it leaves the app as it was."""

import json
import os
import re
import site
import sys

import pytest
from client import wait_for
from server import no_tsan, run

APP = """
import json, sys
import nested.deep
open("data.txt").close()

def app(environ, start_response):
    import lazy
    start_response("200 OK", [("Content-Type", "application/json")])
    import _frozen_importlib
    return [json.dumps({
        "flags": list(sys.flags), "no_site": sys.flags.no_site, "repr": repr(sys.flags),
        "hooked": "outer" in _frozen_importlib._find_and_load.__qualname__,
        "traced": "cwsgi._boot_trace" in sys.modules, "boot": "_cwsgi_boot" in sys.modules,
        "main": sorted(vars(sys.modules["__main__"])), "argv": sys.argv[0],
        "dash_s": "-S" in sys.orig_argv, "path": sys.path,
    }).encode()]
"""

STARTUP = """
import threading
import cwsgi
both = threading.Barrier(2, timeout=20)

@cwsgi.on_startup
def first():
    both.wait()
    import late

@cwsgi.on_startup
def second():
    both.wait()

def app(environ, start_response):
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode()]
"""

ASGI = """
import cwsgi

@cwsgi.on_startup
async def ready():
    import late

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


@pytest.fixture
def tmp_path(open_folder):
    return open_folder


@pytest.fixture
def folder(tmp_path):
    """An app and the modules that it imports, and a sitecustomize in a folder of its own."""
    app = tmp_path / "app"
    (app / "nested").mkdir(parents=True)
    (app / "main.py").write_text(APP)
    (app / "starting.py").write_text(STARTUP)
    (app / "waiting.py").write_text(ASGI)
    (app / "nested" / "deep.py").write_text(
        "import colorsys\nsum(range(5_000_000))  # enough to be among the slowest\n"
    )
    (app / "lazy.py").write_text("")
    (app / "late.py").write_text("")
    (app / "data.txt").write_text("12345")
    (app / "broken.py").write_text("import nested.deep\nraise RuntimeError('too bad')\n")
    early = tmp_path / "early"
    (early / "more").mkdir(parents=True)
    (early / "more" / "ours.pth").write_text("import chunk_of_pth\n")
    (early / "chunk_of_pth.py").write_text("")
    (early / "sitecustomize.py").write_text(
        f"import site\nsite.addsitedir({str(early / 'more')!r})\n"
    )
    return tmp_path


def started(serve, folder, app, *options, interpreter=None, env=None, **kwargs):
    environ = {
        "CWSGI_INTERPRETER": interpreter,
        "PYTHONPATH": folder / "early",
        "PYTHONDONTWRITEBYTECODE": None,
        **(env or {}),
    }
    return serve(app, *options, chdir=folder / "app", env=environ, **kwargs)


def read(path):
    """The trace, when its file is there."""
    wait_for(path.exists, f"{path}")
    return json.loads(path.read_text())


def phases(trace):
    return [phase["phase"] for phase in trace["phases"]]


def read_with(path, phase):
    wait_for(lambda: path.exists() and phase in phases(read(path)), f"phase {phase}")
    return read(path)


def spans(trace, kind=None, name=None):
    found = []

    def walk(span, track):
        if kind in (None, span["kind"]) and name in (None, span["name"]):
            found.append({**span, "track": track["track"]})
        for part in span.get("parts", []):
            walk(part, track)

    for track in trace["tracks"]:
        for span in track["spans"]:
            walk(span, track)
    return found


def only(trace, kind, name):
    (found,) = spans(trace, kind, name)
    return found


def test_json(serve, folder, door):
    path = folder / "trace.json"
    server = started(serve, folder, "main:app", "--boot-trace", path, interpreter=door)
    trace = read(path)
    library = ["library"] if trace["interpreter"] == "embedded" else []
    if door == "exec":
        assert not library
    early = ["settings", "supervisor", "fork", "process", *library, "interpreter", "site"]
    assert phases(trace) == [*early, "server", "app", "start-up", "listen"]
    assert trace["ends_with"] == "listening" and trace["app"] == "main:app"
    end = 0
    for phase in trace["phases"]:
        assert phase["start_ms"] == pytest.approx(end, abs=0.002) and phase["ms"] >= 0
        assert phase["rss"] > 0 and phase["pss"] > 0
        end = phase["start_ms"] + phase["ms"]
    assert trace["total_ms"] == pytest.approx(end, abs=0.01)
    assert trace["pid"] == server.worker().pid

    main = only(trace, "import", "main")
    assert main["from"] == "source" and main["compile_ms"] > 0 and main["bytes"] == len(APP)
    assert [part["name"] for part in main["parts"] if part["kind"] == "import"][-1] == "nested.deep"
    assert only(trace, "import", "nested")["from"] == "namespace package"
    deep = only(trace, "import", "nested.deep")
    assert deep["own_ms"] <= deep["ms"]
    assert "colorsys" in [part["name"] for part in deep["parts"]]
    assert only(trace, "import", "colorsys")["from"] in ("pyc", "source")
    files = [file["path"] for file in trace["files"]]
    assert str(folder / "app" / "data.txt") in files
    assert files.index(str(folder / "app" / "main.py")) < files.index(str(folder / "app/data.txt"))
    assert not [file for file in files if file.startswith("/proc")]

    # site: each .pth and sitecustomize by name, and what they import below them.
    customize = only(trace, "customize", "sitecustomize")
    pth = only(
        {"tracks": [{"track": "", "spans": [customize]}]},
        "pth",
        str(folder / "early/more/ours.pth"),
    )
    assert [part["name"] for part in pth["parts"]] == ["chunk_of_pth"]

    assert server.get("/").status == 200
    trace = read_with(path, "first request")
    request = only(trace, "request", "GET /")
    assert [part["name"] for part in request["parts"] if part["name"] == "lazy"] == ["lazy"]


def test_the_app_sees_nothing_of_it(serve, folder, door):
    path = folder / "trace.json"
    seen = []
    for options in (["--boot-trace", path], []):
        server = started(serve, folder, "main:app", *options, interpreter=door)
        seen.append([json.loads(server.get("/").body) for _ in range(2)][-1])
        if options:
            read_with(path, "first request")
            seen[0] = json.loads(server.get("/").body)
    traced, plain = seen
    assert traced.pop("traced") and not plain.pop("traced")
    assert traced == plain
    assert plain["no_site"] == 0 and not plain["hooked"] and not plain["boot"]


def test_text(serve, folder, door):
    server = started(serve, folder, "main:app", "--boot-trace", "-", interpreter=door)
    server.wait_log("Imports that took 1% of the start or more")
    log = server.log()
    for text in ("Boot trace of main:app: ", "ours.pth", "import of the app", "sitecustomize"):
        assert text in log
    assert re.search(r"[\d.]+ ms +nested\.deep  \(", log)
    assert server.get("/").status == 200
    server.wait_log("Boot trace of main:app: the first request")
    server.wait_log("lazy  (")
    assert server.log().count("Boot trace of") == 2


def test_page(serve, folder):
    path = folder / "trace.html"
    started(serve, folder, "main:app", "--boot-trace", path)
    wait_for(path.exists, "the page")
    page = path.read_text()
    data = json.loads(re.search(r"const data = (.*);\n", page)[1])
    assert only(data, "import", "nested.deep")
    # Nothing is fetched from anywhere, and no text of the app ends the script.
    assert not re.search(r"https?://|<link|<img|\bsrc=|@import|url\(", page)
    assert page.count("</script>") == 1


def test_startup_functions(serve, folder):
    path = folder / "trace.json"
    server = started(
        serve, folder, "starting:app", "--boot-trace", path, "--warmup", "/warm", threads=2
    )
    trace = read(path)
    first, second = (only(trace, "startup", f"starting.{name}") for name in ("first", "second"))
    assert first["track"] != second["track"]
    assert first["start_ms"] < second["start_ms"] + second["ms"]
    assert second["start_ms"] < first["start_ms"] + first["ms"]
    assert [part["name"] for part in first["parts"]] == ["late"]
    assert phases(trace)[-3:] == ["start-up", "warm-up", "listen"]
    assert only(trace, "request", "GET /warm")
    assert server.get("/later").body == b"/later"
    assert only(read_with(path, "first request"), "request", "GET /later")
    assert server.get("/again").body == b"/again"


def test_asgi(serve, folder):
    path = folder / "trace.json"
    server = started(serve, folder, "waiting:app", "--boot-trace", path)
    trace = read(path)
    assert phases(trace)[-3:] == ["start-up", "lifespan", "listen"]
    assert only(trace, "startup", "waiting.ready") and only(trace, "startup", "lifespan")
    assert server.get("/x").body == b"hello"
    assert only(read_with(path, "first request"), "request", "GET /x")
    assert server.get("/y").body == b"hello"


@no_tsan
def test_preload(serve, folder, door):
    path = folder / "trace.json"
    server = started(
        serve,
        folder,
        "main:app",
        "--preload",
        "--boot-trace",
        path,
        workers=3,
        interpreter=door,
    )
    wait_for(lambda: len(server.workers()) == 4, "three workers and what they are forked from")
    trace = read(path)
    assert phases(trace)[-4:] == ["app", "worker", "start-up", "listen"]
    for _ in range(20):
        answer = json.loads(server.get("/").body)
        assert answer["no_site"] == 0
    assert os.listdir(folder / "app").count("trace.json") == 0


def test_only_the_first_worker(serve, folder):
    path = folder / "trace.json"
    server = started(serve, folder, "main:app", "--boot-trace", path, workers=2)
    wait_for(lambda: len(server.workers()) == 2, "both workers")
    pid = read(path)["pid"]
    before = path.stat().st_ino
    os.kill(pid, 9)

    def replaced():
        pids = [worker.pid for worker in server.workers()]
        return pid not in pids and len(pids) == 2

    wait_for(replaced, "another worker")
    wait_for(lambda: server.log().count("Booting worker") == 3, "its start")
    assert server.get("/").status == 200
    server.expected_exit = None
    assert (path.stat().st_ino, read(path)["pid"]) == (before, pid)


@pytest.mark.parametrize("name", ["missing/trace.json", "folder"])
def test_a_file_that_cannot_be_written(serve, folder, name):
    (folder / "folder").mkdir()
    server = started(serve, folder, "main:app", "--boot-trace", folder / name)
    assert json.loads(server.get("/").body)["hooked"] is False
    lines = [line for line in server.log().splitlines() if "--boot-trace" in line]
    (line,) = lines
    assert "[ERROR] --boot-trace: cannot write " in line and "the start is not traced" in line


def test_another_user(serve, folder, for_nobody):
    """Who may not write it serves; who may, does. The system's Python has no libpython, if so."""
    for_nobody["chdir"] = folder / "app"
    path = folder / "trace.json"
    server = serve("main:app", "--boot-trace", path, "--user", "nobody", **for_nobody)
    assert server.get("/").status == 200
    assert f"cannot write {path}: Permission denied" in server.log()
    assert not path.exists()
    path = folder / "state" / "trace.json"
    server = serve("main:app", "--boot-trace", path, "--user", "nobody", **for_nobody)
    assert only(read(path), "import", "nested.deep")
    assert path.stat().st_uid != 0


def test_a_link_and_a_device_are_written_through(serve, folder):
    target, link = folder / "target.json", folder / "link.json"
    target.write_text("")
    link.symlink_to(target)
    started(serve, folder, "main:app", "--boot-trace", link)
    wait_for(lambda: target.read_text().endswith("}\n"), "the trace")
    assert link.is_symlink() and json.loads(target.read_text())["app"] == "main:app"
    server = started(serve, folder, "main:app", "--boot-trace", "/dev/null")
    assert server.get("/").status == 200 and "--boot-trace" not in server.log()


def test_check_config_and_a_broken_app(folder):
    path = folder / "trace.json"
    common = {"cwd": folder / "app", "env": {"PYTHONPATH": None}}
    done = run("--check-config", "--boot-trace", path, "main:app", **common)
    assert done.returncode == 0
    assert phases(read(path))[-1] == "app"
    path.unlink()
    done = run("--check-config", "--boot-trace", path, "broken:app", **common)
    assert done.returncode != 0 and "too bad" in done.stderr
    # The traceback is that of a plain import: no frame of the recorder.
    assert "importlib" not in done.stderr and "_cwsgi" not in done.stderr
    assert only(read(path), "import", "broken")["from"] == "source"


def test_a_python_without_site(serve, folder):
    path = folder / "trace.json"
    packages = os.pathsep.join(site.getsitepackages())
    server = started(
        serve,
        folder,
        "main:app",
        "--boot-trace",
        path,
        command=[sys.executable, "-S", "-m", "cwsgi"],
        env={"PYTHONPATH": packages},
    )
    assert json.loads(server.get("/").body)["no_site"] == 1
    assert not spans(read(path), "customize")
