"""Who the processes are: user, umask, pid file, titles, the background."""

import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from client import wait_for
from ops import terminal_of, titled, wait_workers
from server import APPS, Port, UnixPath, clean_env, program, run

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def tmp_path(open_folder):
    return open_folder


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("user", ["nobody", str(NOBODY.pw_uid)])
def test_user_and_group(serve, for_nobody, user, preload):
    options = ["--user", user, "--group", NOBODY.pw_gid, *(["--preload"] if preload else [])]
    server = serve("ops:app", *options, **for_nobody)
    answer = json.loads(server.get("/who").body)
    assert (answer["uid"], answer["gid"]) == (NOBODY.pw_uid, NOBODY.pw_gid)
    assert answer["groups"] == [NOBODY.pw_gid]
    assert psutil.Process(server.pid).uids().real == 0


def test_initgroups(serve, for_nobody):
    groups = os.getgrouplist("nobody", NOBODY.pw_gid)
    server = serve("ops:app", "-u", "nobody", "-g", NOBODY.pw_gid, "--initgroups", **for_nobody)
    assert sorted(json.loads(server.get("/who").body)["groups"]) == sorted(groups)


@pytest.fixture
def member():
    """A user with groups of its own."""
    if os.getuid() != 0 or not shutil.which("useradd"):
        pytest.skip("needs root and useradd")
    name = f"cwsgi-{os.getpid()}"
    subprocess.run(["useradd", "-M", "-G", "tty,audio", name], check=True)
    yield pwd.getpwnam(name)
    subprocess.run(["userdel", name], check=True)


@pytest.mark.parametrize("preload", [False, True])
def test_a_user_without_a_group(member, serve, for_nobody, preload):
    """Workers get its groups, not root's."""
    options = ["--preload"] if preload else []
    server = serve("ops:app", "-u", member.pw_name, *options, **for_nobody)
    answer = json.loads(server.get("/who").body)
    assert (answer["uid"], answer["gid"]) == (member.pw_uid, member.pw_gid)
    groups = os.getgrouplist(member.pw_name, member.pw_gid)
    assert len(groups) > 1 and sorted(answer["groups"]) == sorted(groups)
    assert server.log().count("--user without --group: workers get the groups of") == 1


def test_a_user_without_an_entry(serve, for_nobody):
    server = serve("ops:app", "-u", "61234", **for_nobody)
    answer = json.loads(server.get("/who").body)
    assert (answer["uid"], answer["gid"], answer["groups"]) == (61234, 0, [0])
    assert "name one with --group" in server.log()


@pytest.mark.parametrize("options, value", [([], "1"), (["--allow-new-privileges"], "0")])
@pytest.mark.parametrize("preload", [False, True])
def test_no_new_privileges(serve, for_nobody, options, value, preload, door):
    options = [*options, *(["--preload"] if preload else [])]
    for_nobody["env"]["CWSGI_INTERPRETER"] = door
    server = serve("ops:app", "-u", "nobody", *options, **for_nobody)
    wait_workers(server, 1)
    for process in server.workers():
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert f"NoNewPrivs:\t{value}\n" in status
    assert "NoNewPrivs:\t0\n" in Path(f"/proc/{server.pid}/status").read_text()


def test_new_privileges_where_the_user_does_not_change(serve):
    server = serve("ops:app")
    assert "NoNewPrivs:\t0\n" in Path(f"/proc/{server.worker().pid}/status").read_text()


LOOK = """
import os, sys
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[1]))
for name in ("environ", "mem", "fd/0", "maps"):
    try:
        with open(f"/proc/{sys.argv[3]}/{name}", "rb") as file:
            print("read", name)
    except PermissionError:
        pass
"""


@pytest.mark.parametrize("preload", [False, True])
def test_nobody_looks_into_a_worker(serve, for_nobody, preload, door):
    """Others of its user cannot, and it still can do what it needs of itself."""
    options = ["--preload"] if preload else []
    for_nobody["env"]["CWSGI_INTERPRETER"] = door
    server = serve(
        "ops:app",
        "-u",
        "nobody",
        "--metrics",
        "/metrics",
        "--timeout",
        "60",
        *options,
        **for_nobody,
    )
    (pid,) = wait_workers(server, 1)
    python = for_nobody["env"]["CWSGI_PYTHON"]
    look = [python, "-c", LOOK, *map(str, (NOBODY.pw_uid, NOBODY.pw_gid, pid))]
    found = subprocess.run(look, capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout == ""
    assert b'cwsgi_worker_resident_bytes{worker="1"}' in server.get("/metrics").body
    os.kill(pid, signal.SIGRTMIN + 5)
    server.wait_log("Python stacks of all threads")
    server.wait_log("C stack of thread")


def test_folders_that_the_user_can_write(serve, for_nobody, tmp_path):
    """One warning; then all goes on."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
    (folder / "gunicorn.conf.py").write_text("proc_name = 'found'\n")
    enter = ["sh", "-c", f'cd {folder} && exec "$@"', "-"]
    server = serve("ops:app", "-u", "nobody", command=[*enter, *program()], **for_nobody)
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded")
    assert server.log().count("can be changed by the workers' user") == 1
    assert f"{folder}/gunicorn.conf.py can be changed" in server.log()


def test_folders_that_the_user_cannot_write(serve, for_nobody):
    server = serve("ops:app", "-u", "nobody", **for_nobody)
    assert "can be changed by the workers' user" not in server.log()


def test_low_port_is_bound_before_the_user_changes(serve, for_nobody):
    server = serve("ops:app", "-u", "nobody", binds=[low_port()], **for_nobody)
    assert json.loads(server.get("/who").body)["uid"] == NOBODY.pw_uid


def low_port():
    """A free port below 1024, kept as Port keeps one."""
    for number in range(1023, 900, -1):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", number))
        except OSError:
            sock.close()
            continue
        port = Port()
        port.close()
        port.sock, port.number = sock, number
        return port
    raise AssertionError("no low port is free")


def test_workers_of_another_user_end_with_the_supervisor(serve, for_nobody):
    """A change of user makes the kernel forget the death signal; it is set after."""
    server = serve("ops:app", "-u", "nobody", workers=2, **for_nobody)
    pids = wait_workers(server, 2)
    server.expected_exit = {-signal.SIGKILL}
    server.send_signal(signal.SIGKILL)
    server.wait_exit()
    wait_for(lambda: not any(map(psutil.pid_exists, pids)), "the workers to end")


@pytest.mark.parametrize(
    "options, said",
    [
        (["--user", "no-such-user"], "no user 'no-such-user'"),
        (["--group", "no-such-group"], "no group 'no-such-group'"),
        (["--umask", "999"], "--umask"),
        (["--umask", "rwx"], "--umask"),
    ],
)
def test_bad_identities(options, said):
    result = run(*options, "hello:app")
    assert result.returncode == 1
    assert said in result.stderr


@pytest.mark.parametrize("text, mask", [("022", 0o22), ("0o77", 0o77), ("18", 0o22)])
def test_umask(serve, text, mask):
    server = serve("ops:app", "-m", text)
    assert json.loads(server.get("/who").body)["umask"] == mask


@pytest.mark.parametrize("options, mode", [([], 0o777), (["-m", "0o77"], 0o700)])
def test_mode_of_unix_sockets(serve, tmp_path, options, mode):
    path = tmp_path / "s"
    serve("hello:app", *options, binds=[UnixPath(path)])
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_owner_of_unix_sockets(serve, for_nobody, tmp_path):
    path = tmp_path / "s"
    serve("ops:app", "-u", "nobody", binds=[UnixPath(path)], **for_nobody)
    assert path.stat().st_uid == NOBODY.pw_uid


def test_pid_file(serve, tmp_path):
    pidfile = tmp_path / "pid"
    server = serve("hello:app", "-p", pidfile)
    assert pidfile.read_text() == f"{server.pid}\n"
    result = run("-p", pidfile, "-b", "127.0.0.1:0", "hello:app")
    assert result.returncode == 1
    assert f"names process {server.pid}, which is running" in result.stderr
    assert pidfile.read_text() == f"{server.pid}\n"
    server.stop()
    assert not pidfile.exists()


def test_a_start_that_fails_leaves_no_socket_behind(serve, tmp_path):
    pidfile, path = tmp_path / "pid", tmp_path / "sock"
    serve("hello:app", "-p", pidfile)
    result = run("-p", pidfile, "-b", f"unix:{path}", "hello:app")
    assert result.returncode == 1
    assert not path.exists()
    result = run("--error-logfile", tmp_path / "no/such", "-b", f"unix:{path}", "hello:app")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert not path.exists()


def test_stale_pid_file(serve, tmp_path):
    pidfile = tmp_path / "pid"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    pidfile.write_text(f"{gone.pid}\n")
    server = serve("hello:app", "--pid", pidfile)
    assert pidfile.read_text() == f"{server.pid}\n"


def test_pid_file_of_a_reload(serve, tmp_path):
    conf, first, second = tmp_path / "a.conf.py", tmp_path / "first", tmp_path / "second"
    conf.write_text(f"pidfile = {str(first)!r}\n")
    server = serve("hello:app", "-c", conf)
    wait_workers(server, 1)
    conf.write_text(f"pidfile = {str(second)!r}\n")
    server.send_signal(signal.SIGHUP)
    wait_for(second.exists, "the new file")
    assert second.read_text() == f"{server.pid}\n"
    wait_for(lambda: not first.exists(), "the old file to go")
    server.stop()
    assert not second.exists()


def titles(server):
    return {" ".join(p.cmdline()).strip() for p in titled(server, "worker")}


def test_titles(serve):
    server = serve("hello:app", workers=2)
    wait_workers(server, 2)
    expected = {"cwsgi: worker 1 [hello:app]", "cwsgi: worker 2 [hello:app]"}
    wait_for(lambda: titles(server) == expected, lambda: f"titles: {titles(server)}")
    own = " ".join(psutil.Process(server.pid).cmdline()).strip()
    assert own == "cwsgi: supervisor [hello:app]"


def test_titles_with_a_name(serve, door):
    server = serve("ops:app", "-n", "shop", env={"CWSGI_INTERPRETER": door, "KEPT": "value"})
    wait_for(lambda: titles(server) == {"cwsgi: worker 1 [shop]"}, "the title")
    # The command line as typed, in spite of the title over it.
    argv = json.loads(server.get("/who").body)["argv"]
    assert argv[0].endswith("cwsgi") and argv[-2:] == ["shop", "ops:app"]


def test_titles_without_an_environment(tmp_path):
    port = Port()
    command = [*program(), "-b", str(port), "-w", "1", "--chdir", str(APPS), "hello:app"]
    with subprocess.Popen(command, env={}, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: not port.refuses(), "the server")
            (worker,) = psutil.Process(process.pid).children()
            assert "".join(worker.cmdline()).startswith("cwsgi: worker 1")
        finally:
            process.terminate()
    port.close()


def test_rotated_logs_of_another_user(serve, for_nobody, tmp_path):
    """In a folder of root's, where workers cannot make files."""
    folder = tmp_path / "log"
    folder.mkdir()
    logs = [folder / "error.log", folder / "access.log"]
    options = ["--error-logfile", logs[0], "--access-logfile", logs[1], "-u", "nobody"]
    server = serve("ops:app", *options, **for_nobody)
    wait_workers(server, 1)
    for log in logs:
        log.rename(log.with_suffix(".1"))
    server.send_signal(signal.SIGUSR1)
    wait_for(lambda: all(log.exists() for log in logs), "new files")

    def answered_there():
        server.get("/who")
        return "/who" in logs[1].read_text()

    wait_for(answered_there, "a line in the new file")
    assert "cannot reopen" not in logs[0].read_text() + logs[0].with_suffix(".1").read_text()


def test_daemon(tmp_path):
    port, pidfile = Port(), tmp_path / "pid"
    command = [*program(), "-D", "-p", str(pidfile), "-b", str(port), "--chdir"]
    env = clean_env({"CWSGI_TEST_DIR": tmp_path})
    done = subprocess.run([*command, str(APPS), "hello:app"], env=env, timeout=30)
    assert done.returncode == 0
    wait_for(pidfile.exists, "the pid file")
    pid = int(pidfile.read_text())
    try:
        wait_for(lambda: not port.refuses(), "the daemon to listen")
        process = psutil.Process(pid)
        assert terminal_of(process.pid) == 0
        assert os.getsid(pid) != os.getsid(0)
        assert os.readlink(f"/proc/{pid}/fd/2") == "/dev/null"
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not psutil.pid_exists(pid), "the daemon to end")
    assert not pidfile.exists()
    port.close()


def test_daemon_says_what_is_wrong_first(tmp_path):
    result = run("-D", "--chdir", "/no/such/folder", "hello:app", cwd=tmp_path)
    assert result.returncode == 1
    assert "/no/such/folder" in result.stderr


@pytest.mark.parametrize("option", ["--user", "--group"])
@pytest.mark.parametrize("number", [4294967296, 4294967295, 2**64])
def test_ids_out_of_range(option, number):
    """The first would be root's, the second is "as it was" to the kernel."""
    result = run(option, number, "hello:app")
    assert result.returncode == 1
    assert f"{option}: {number} is out of range" in result.stderr


def test_a_python_that_the_user_cannot_reach(for_nobody, tmp_path):
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    python = hidden / "python3"
    python.symlink_to(for_nobody["env"]["CWSGI_PYTHON"])
    options = ["-u", "nobody", "-b", "127.0.0.1:0", "--python", python]
    result = run(*options, "hello:app", cwd=for_nobody["chdir"], env=for_nobody["env"])
    assert result.returncode == 1
    assert f"--user nobody cannot start {python}: Permission denied" in result.stderr
    assert "is cwsgi installed" not in result.stderr


@pytest.mark.parametrize("options", [[], ["--preload"]])
def test_a_python_without_cwsgi(options):
    result = run(*options, "-b", "127.0.0.1:0", "--python", "/usr/bin/python3", "hello:app")
    assert result.returncode == 1
    assert "No module named 'cwsgi'" in result.stderr
    assert "is cwsgi installed for it?" in result.stderr


def test_a_hook_that_fails_is_no_missing_package(tmp_path):
    conf = tmp_path / "a.conf.py"
    conf.write_text("def post_fork(server, worker): raise LookupError('mine')\n")
    result = run("-c", conf, "-b", "127.0.0.1:0", "hello:app")
    assert result.returncode == 1
    assert "LookupError: mine" in result.stderr
    assert "is cwsgi installed" not in result.stderr
