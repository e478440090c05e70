"""New code without a lost request: HUP, workers more and less, USR2."""

import json
import os
import signal
import socket
import struct
import time

import psutil
import pytest
from client import wait_for
from ops import Load, new_cwsgi, titled, wait_workers, worker_pids
from server import APPS


def version(server):
    return json.loads(server.get("/who").body)["version"]


def set_version(server, text):
    (server.state / "version").write_text(text)


@pytest.mark.parametrize("preload", [False, True])
def test_hup_takes_new_code(serve, preload):
    server = serve("ops:app", *(["--preload"] if preload else []), workers=2)
    old = wait_workers(server, 2)
    assert version(server) == "1"
    set_version(server, "2")
    server.send_signal(signal.SIGHUP)
    wait_workers(server, 2, without=old)
    wait_for(lambda: version(server) == "2", "the new version")
    assert "Reloaded" in server.log()
    # The preloading process of the old code ends with its last worker.
    wait_for(lambda: len(titled(server, "preload")) == (1 if preload else 0), "one generation")


@pytest.mark.parametrize("preload", [False, True])
def test_broken_code_keeps_the_old(serve, preload):
    server = serve("ops:app", *(["--preload"] if preload else []), workers=2)
    old = wait_workers(server, 2)
    server.wait_marks("imported", 1 if preload else 2)
    set_version(server, "broken")
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reload failed")
    assert "this version is broken" in server.log()
    assert worker_pids(server) == old
    assert version(server) == "1"
    set_version(server, "3")
    server.send_signal(signal.SIGHUP)
    wait_workers(server, 2, without=old)
    wait_for(lambda: version(server) == "3", "the mended version")


def test_hup_while_a_reload_is_under_way(serve):
    """The newer one counts, and no worker of the one before stays."""
    server = serve("slow_import:app", workers=1, wait=False)
    server.open_gate("import")
    server.wait_ready()
    (server.state / "gate-import").unlink()
    (old,) = wait_workers(server, 1)
    for _ in range(3):
        server.send_signal(signal.SIGHUP)
        wait_for(lambda: len(server.workers()) == 2, "a new worker")
    server.open_gate("import")
    wait_workers(server, 1, without=[old])
    assert "Reload failed" not in server.log()


@pytest.mark.parametrize("preload", [False, True])
def test_twenty_reloads_lose_nothing(serve, preload):
    server = serve("ops:app", *(["--preload"] if preload else []), workers=2)
    wait_workers(server, 2)
    with Load(server, clients=16) as load:
        for turn in range(20):
            set_version(server, str(turn + 10))
            old = worker_pids(server)
            load.wait_answers(20)
            server.send_signal(signal.SIGHUP)
            wait_workers(server, 2, without=old)
    assert load.lost == []
    assert load.refused == 0
    assert set(load.statuses) == {200}
    assert version(server) == "29"


def test_reload_of_one_worker_leaves_no_gap(serve):
    server = serve("ops:app", workers=1)
    (old,) = wait_workers(server, 1)
    with Load(server, clients=4, keep_alive=False) as load:
        load.wait_answers(20)
        server.send_signal(signal.SIGHUP)
        wait_workers(server, 1, without=[old])
        load.wait_answers(20)
    assert (load.lost, load.refused) == ([], 0)


def test_a_running_request_outlives_the_reload(serve):
    server = serve("ops:app", workers=1)
    (old,) = wait_workers(server, 1)
    client = server.connect()
    client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    server.wait_marks("waiting")
    server.send_signal(signal.SIGHUP)
    wait_for(lambda: worker_pids(server) - {old}, "a new worker")
    server.wait_log("Reloaded")
    # Being told to go and no longer accepting are two things.
    wait_for(lambda: json.loads(server.get("/who").body)["pid"] != old, "the new one to serve")
    server.open_gate("wait")
    response = client.response()
    assert response.body == b"waited" and response.closes
    wait_workers(server, 1, without=[old])


def test_ttin_and_ttou(serve):
    server = serve("ops:app", workers=1)
    wait_workers(server, 1)
    for expected in (2, 3):
        server.send_signal(signal.SIGTTIN)
        wait_workers(server, expected)
    with Load(server, clients=4) as load:
        for expected in (2, 1):
            load.wait_answers(20)
            server.send_signal(signal.SIGTTOU)
            wait_workers(server, expected)
        server.send_signal(signal.SIGTTOU)  # Never below one.
        load.wait_answers(20)
    assert (load.lost, load.refused) == ([], 0)
    assert len(worker_pids(server)) == 1


def test_max_requests_without_a_gap(serve):
    server = serve("ops:app", "--max-requests", "50", workers=1)
    first = wait_workers(server, 1)
    with Load(server, clients=4) as load:
        seen = set()
        while len(seen) < 4:
            load.wait_answers(50)
            seen = {json.loads(body)["pid"] for body in load.bodies}
    assert (load.lost, load.refused) == ([], 0)
    wait_workers(server, 1, without=first)
    assert "has served --max-requests" in server.log()


def test_max_requests_jitter(serve):
    """With a jitter, workers leave after different numbers of requests."""
    server = serve("ops:app", "--max-requests=10", "--max-requests-jitter=1000", workers=1)
    first = wait_workers(server, 1)
    for _ in range(10):
        server.get("/who")
    # One in a thousand starts has no jitter at all; a second try settles it.
    assert worker_pids(server) == first or "--max-requests" in server.log()


@pytest.mark.parametrize("preload", [False, True])
def test_killed_workers_lose_only_what_they_ran(serve, preload):
    """kill -9 of a worker again and again under load; each loses at most its own requests."""
    server = serve("ops:app", *(["--preload"] if preload else []), workers=2)
    wait_workers(server, 2)
    clients = 8
    kills = 5
    with Load(server, clients=clients) as load:
        for _ in range(kills):
            load.wait_answers(100)
            victim = min(worker_pids(server))
            os.kill(victim, signal.SIGKILL)
            wait_workers(server, 2, without=[victim])
    assert load.refused == 0
    assert len(load.lost) <= kills * clients
    assert set(load.statuses) == {200}


def test_binary_upgrade(serve, tmp_path):
    """USR2 starts a new cwsgi on the same socket, WINCH empties the old, QUIT ends it."""
    server = serve("ops:app", "--pid", tmp_path / "app.pid", workers=2)
    pidfile = tmp_path / "app.pid"
    assert int(pidfile.read_text()) == server.pid
    old_workers = wait_workers(server, 2)
    set_version(server, "2")
    with Load(server, clients=8) as load:
        load.wait_answers(20)
        server.send_signal(signal.SIGUSR2)
        new = new_cwsgi(server)
        wait_for((tmp_path / "app.pid.2").exists, "its pid file")
        new_workers = wait_for(
            lambda: (
                children := {p.pid for p in psutil.Process(new).children()},
                children if len(children) == 2 else None,
            )[1],
            "its workers",
        )
        server.wait_marks("imported", 4)
        os.kill(server.pid, signal.SIGWINCH)
        wait_workers(server, 0)
        load.wait_answers(50)
        os.kill(server.pid, signal.SIGQUIT)
        assert server.proc.wait(10) == 0
        load.wait_answers(50)
        wait_for(lambda: pidfile.exists() and int(pidfile.read_text()) == new, "the pid file")
        load.stopping.set()
    assert (load.lost, load.refused) == ([], 0)
    pids = {json.loads(body)["pid"] for body in load.bodies}
    assert pids <= old_workers | new_workers and pids & new_workers
    assert not (tmp_path / "app.pid.2").exists()
    os.kill(new, signal.SIGTERM)
    wait_for(lambda: not server.members(), "the new one to end")
    assert not pidfile.exists()


def test_upgrade_tells_systemd_of_the_new_main_process(serve, tmp_path):
    """By default it believes the present main process alone."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    sock.settimeout(20)
    path = tmp_path / "notify"
    sock.bind(str(path))

    def message_of(pid, text):
        while True:
            data, control, _, _ = sock.recvmsg(1000, 1000)
            ((_, _, creds),) = control
            if struct.unpack("3i", creds)[0] == pid and text in data.decode():
                return data.decode()

    server = serve("ops:app", env={"NOTIFY_SOCKET": path})
    message_of(server.pid, "READY=1")
    server.send_signal(signal.SIGUSR2)
    new = new_cwsgi(server)
    assert message_of(server.pid, "MAINPID") == f"MAINPID={new}"
    os.kill(new, signal.SIGTERM)
    assert message_of(server.pid, "MAINPID") == f"MAINPID={server.pid}"
    server.wait_log("has ended; this one goes on")
    sock.close()


def test_upgrade_called_off(serve):
    """The new one is ended, HUP brings the old one's workers back."""
    server = serve("ops:app", workers=1)
    wait_workers(server, 1)
    server.send_signal(signal.SIGUSR2)
    new = new_cwsgi(server)
    server.wait_marks("imported", 2)
    server.send_signal(signal.SIGWINCH)
    wait_workers(server, 0)
    server.send_signal(signal.SIGHUP)
    wait_workers(server, 1)
    os.kill(new, signal.SIGTERM)
    server.wait_log("has ended; this one goes on")
    assert server.get("/who").status == 200


def test_winch_alone_is_a_terminal_being_resized(serve):
    server = serve("ops:app", "--log-level", "debug", workers=1)
    before = wait_workers(server, 1)
    server.send_signal(signal.SIGWINCH)
    server.wait_log("WINCH ignored")
    assert worker_pids(server) == before


@pytest.mark.parametrize("options", [[], ["--preload"], ["--timeout", "0.5"]])
@pytest.mark.parametrize("broken", ["syntax error\n", "app = 5\n", None])
def test_reload_waits_for_an_app_that_is_broken_at_start(serve, tmp_path, options, broken):
    folder = tmp_path / "app"
    folder.mkdir()
    if broken:
        (folder / "mended.py").write_text(broken)
    server = serve("mended:app", "--reload", *options, chdir=folder, wait=False)
    for turn in range(2):
        wait_for(lambda n=turn: server.log().count("Waiting for a change") > n, server.log, 20)
        assert server.proc.poll() is None
        # Still broken the first time.
        good = (APPS / "hello.py").read_text()
        (folder / "mended.py").write_text(good if turn else "raise ValueError('other')\n")
    server.wait_ready()
    assert "ValueError: other" in server.log()
    assert server.get("/").body == b"Hello, World!\n"
    assert "TIMEOUT" not in server.log()


def test_reload_sees_what_changed_during_the_import(serve, tmp_path):
    """An editor empties a file, and fills it when the import has read it."""
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "held_up.py").write_text(
        "import common\ncommon.mark('reading')\ncommon.wait_gate('slow')\n"
    )
    (folder / "mended.py").write_text("import held_up\n")
    server = serve("mended:app", "--reload", "--pythonpath", str(APPS), chdir=folder, wait=False)
    server.wait_marks("reading")
    (folder / "mended.py").write_text((APPS / "hello.py").read_text())
    server.open_gate("slow")
    server.wait_ready()
    assert server.get("/").body == b"Hello, World!\n"
    assert "mended.py has changed: starting again" in server.log()


def test_reload_does_not_start_again_for_a_file_of_tomorrow(serve, tmp_path):
    tomorrow = time.time() + 86400
    (tmp_path / "mended.py").write_text("broken = 1\n")
    os.utime(tmp_path / "mended.py", (tomorrow, tomorrow))
    server = serve("mended:app", "--reload", chdir=tmp_path, wait=False)
    server.wait_log("Waiting for a change")
    (tmp_path / "mended.py").write_text((APPS / "hello.py").read_text())
    server.wait_ready()
    assert server.log().count("starting again") == 1


@pytest.mark.parametrize("where", ["pythonpath", "link", "chdir", "removed"])
def test_reload_sees_a_broken_app_wherever_it_is(serve, tmp_path, where):
    start, folder = tmp_path / "start", tmp_path / "app"
    start.mkdir()
    folder.mkdir()
    (folder / "mended.py").write_text("broken\n")
    name, options = "mended", []
    if where == "link":
        (start / "package").symlink_to(folder)
        name = "package.mended"
    elif where == "chdir":
        (folder / "mended.py").write_text(f"import os\nos.chdir({str(start)!r})\nbroken\n")
        start = folder
    else:
        options = ["--pythonpath", str(folder)]
    if where == "removed":
        (folder / "mended.py").write_text("import os\nos.rmdir(os.getcwd())\nbroken\n")
    server = serve(f"{name}:app", "--reload", *options, chdir=start, wait=False)
    server.wait_log("Waiting for a change")
    (folder / "mended.py").write_text((APPS / "hello.py").read_text())
    start.mkdir(exist_ok=True)
    server.wait_ready()
    assert server.get("/").body == b"Hello, World!\n"


def test_stop_while_a_broken_app_is_waited_for(serve, tmp_path):
    server = serve("no_such_app:app", "--reload", chdir=tmp_path, wait=False)
    server.wait_log("Waiting for a change")
    assert server.stop() == 0
