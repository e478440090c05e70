"""Files of a server whose workers are nobody's, in folders where nobody can plant things."""

import os
import pwd
import signal
import stat
import subprocess
import sys

import pytest
from client import wait_for
from ops import wait_workers
from server import UnixPath, clean_env, program, run

NOBODY = pwd.getpwnam("nobody")
USER = ["--user", "nobody", "--group", NOBODY.pw_gid]


@pytest.fixture
def tmp_path(open_folder):
    return open_folder


@pytest.fixture
def theirs(for_nobody, tmp_path):
    """A folder of nobody's."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
    return folder


@pytest.fixture
def treasure(for_nobody, tmp_path):
    """A file that only root may touch."""
    file = tmp_path / "treasure"
    file.write_text("gold\n")
    file.chmod(0o600)
    yield file
    info = file.stat()
    assert (info.st_uid, stat.S_IMODE(info.st_mode)) == (0, 0o600)
    assert file.read_text() == "gold\n"


def serve_nobody(serve, for_nobody, *options, **more):
    return serve("ops:app", *USER, *options, **for_nobody, **more)


def link(path, target):
    path.symlink_to(target)
    os.lchown(path, NOBODY.pw_uid, NOBODY.pw_gid)


def make_fifo(path):
    os.mkfifo(path)
    os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)


LOGS = ["--error-logfile", "--access-logfile"]


@pytest.mark.parametrize("option", LOGS)
def test_a_log_that_is_a_link(serve, for_nobody, theirs, treasure, option):
    log = theirs / "log"
    link(log, treasure)
    result = run(*USER, option, log, "hello:app", env=for_nobody["env"])
    assert result.returncode == 1
    assert f"{option}: cannot write {log}" in result.stderr


@pytest.mark.parametrize("planted", [link, make_fifo])
@pytest.mark.parametrize("option", LOGS)
def test_a_log_that_was_replaced(serve, for_nobody, theirs, treasure, option, planted):
    """Told to reopen it, the server goes on with the old file, and ends when it is told."""
    log = theirs / "log"
    server = serve_nobody(serve, for_nobody, option, log)
    wait_workers(server, 1)
    log.rename(theirs / "old")
    planted(log, treasure) if planted is link else planted(log)
    before = os.stat(log, follow_symlinks=False).st_uid
    server.send_signal(signal.SIGUSR1)
    server.send_signal(signal.SIGHUP)
    where = theirs / "old" if option == LOGS[0] else server.stderr_path
    wait_for(lambda: "Reload" in where.read_text(), "the reload to end", 20)
    assert server.get("/who").status == 200
    assert os.stat(log, follow_symlinks=False).st_uid == before
    assert server.stop() == 0


def test_links_on_the_way(for_nobody, theirs, treasure, tmp_path):
    """The last part is not all that can be a link."""
    below = tmp_path / "below"
    below.mkdir()
    link(theirs / "there", below)
    result = run(*USER, "--error-logfile", theirs / "there" / "log", "hello:app")
    assert result.returncode == 1
    assert "--error-logfile: cannot write" in result.stderr
    assert not (below / "log").exists()


def test_what_is_there_is_not_given_away(for_nobody, tmp_path):
    """A log file of root's stays root's, and says what is to be done."""
    log = tmp_path / "log"
    log.write_text("")
    log.chmod(0o644)
    result = run(*USER, "--error-logfile", log, "hello:app")
    assert result.returncode == 1
    assert f"cannot write {log} as the workers' user: Permission denied" in result.stderr
    assert log.stat().st_uid == 0


@pytest.mark.parametrize("option", LOGS)
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/stderr", "link"])
def test_standard_streams(serve, for_nobody, tmp_path, option, name):
    """They are root's, and workers write to them all the same; nobody gets to own them."""
    if name == "link":
        name = tmp_path / "log"
        name.symlink_to("/dev/stdout")
    reading, writing = os.pipe()
    server = serve_nobody(
        serve, for_nobody, option, name, preexec=lambda: (os.dup2(writing, 1), os.dup2(writing, 2))
    )
    os.close(writing)
    server.get("/who")
    info = os.fstat(reading)
    assert server.stop() == 0
    text = b""
    while piece := os.read(reading, 65536):
        text += piece
    os.close(reading)
    assert info.st_uid == 0
    assert (b"GET /who" if option == LOGS[1] else b"Booting worker") in text


@pytest.mark.parametrize("planted", [link, make_fifo])
def test_a_pid_file_that_was_planted(serve, for_nobody, theirs, treasure, planted):
    pidfile = theirs / "pid"
    planted(pidfile, treasure) if planted is link else planted(pidfile)
    server = serve_nobody(serve, for_nobody, "--pid", pidfile)
    assert not pidfile.is_symlink()
    assert pidfile.read_text() == f"{server.pid}\n"
    pidfile.unlink()
    planted(pidfile, treasure) if planted is link else planted(pidfile)
    assert server.stop() == 0


def test_the_name_that_a_pid_file_has_first(for_nobody, theirs, treasure):
    """NAME.PID, which can be guessed, was opened and written to."""
    pidfile = theirs / "pid"
    wrapper = (
        "import os, sys\n"
        f"os.symlink({str(treasure)!r}, {str(pidfile)!r} + f'.{{os.getpid()}}')\n"
        "os.execvp(sys.argv[1], sys.argv[1:])\n"
    )
    command = [*program(), *map(str, USER), "-p", str(pidfile), "-b", "127.0.0.1:0", "no_such:app"]
    done = subprocess.run(
        [sys.executable, "-c", wrapper, *command],
        env=clean_env(for_nobody["env"]),
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 3, done.stderr


def test_a_pid_file_of_a_stranger(serve, tmp_path):
    """A living process that is no cwsgi does not keep one from starting."""
    pidfile = tmp_path / "pid"
    pidfile.write_text(f"{os.getpid()}\n")
    server = serve("hello:app", "--pid", pidfile)
    assert pidfile.read_text() == f"{server.pid}\n"


def test_sockets_in_either_folder(serve, for_nobody, theirs, tmp_path):
    for folder in (theirs, tmp_path):
        server = serve_nobody(serve, for_nobody, binds=[UnixPath(folder / "sock")])
        assert (folder / "sock").stat().st_uid == NOBODY.pw_uid
        assert server.stop() == 0
        assert not (folder / "sock").exists()


RACE = """
import os, sys
folder, target, user = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.setuid(user)
name, link = folder + "/sock", folder + "/link"
print("ready", flush=True)
while True:
    try:
        os.symlink(target, link)
        while not os.path.lexists(name):
            pass
        os.rename(link, name)
    except OSError:
        pass
"""


def test_a_socket_is_replaced_after_bind(for_nobody, theirs, treasure):
    """Root chowned what the link pointed to."""
    racer = subprocess.Popen(
        [for_nobody["env"]["CWSGI_PYTHON"], "-c", RACE, theirs, treasure, str(NOBODY.pw_uid)],
        stdout=subprocess.PIPE,
    )
    try:
        assert racer.stdout.readline() == b"ready\n"
        for _ in range(20):
            (theirs / "sock").unlink(missing_ok=True)
            run(*USER, "-b", f"unix:{theirs}/sock", "no_such:app", env=for_nobody["env"])
            assert treasure.stat().st_uid == 0
    finally:
        racer.kill()
        racer.wait()
        racer.stdout.close()


def open_files(pid):
    return [os.path.realpath(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]


def test_hooks_log_where_the_supervisor_does(serve, for_nobody, theirs, treasure, tmp_path):
    """Also after the file was rotated, and never by its name, which may be a link by now."""
    log, conf = theirs / "log", tmp_path / "a.conf.py"
    conf.write_text("def on_reload(server): server.log.error('from the hook')\n")
    server = serve_nobody(serve, for_nobody, "-c", conf, "--error-logfile", log)
    log.rename(theirs / "old")
    server.send_signal(signal.SIGUSR1)
    # By both: whichever is first makes the file.
    workers = [p.pid for p in server.workers() if "cwsgi: worker" in " ".join(p.cmdline())]
    for process in (server.pid, *workers):
        wait_for(lambda pid=process: str(log) in open_files(pid), "the log to be reopened")
    log.rename(theirs / "new")
    link(log, treasure)
    server.send_signal(signal.SIGHUP)
    wait_for(lambda: "from the hook" in (theirs / "new").read_text(), "the hook's line")
