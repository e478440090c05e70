"""Where things happen at the wrong moment: deaths, signals and reloads that meet."""

import json
import os
import resource
import signal
import subprocess
import time

import psutil
import pytest
from client import SLOW, request, wait_for, wait_until_steady
from ops import Load, new_cwsgi, titled, wait_workers, worker_pids
from server import (
    Port,
    UnixPath,
    assert_flat_rss,
    descriptors,
    program,
    rss,
    run,
    tied_to_this_process,
)


def steady(server):
    """The workers, once they have stopped coming and going."""
    return wait_until_steady(lambda: worker_pids(server), "the workers to be the same", 0.4)


# ---- --preload ----


def test_a_worker_that_dies_before_it_is_named(serve):
    """The generation goes with it, and nobody looks at it afterwards."""
    server = serve("edges:app", "--preload", env={"EDGES": "slow-fork"})
    old = wait_workers(server, 1)
    (server.state / "startup-fails").touch()
    for turn in range(3):
        server.send_signal(signal.SIGHUP)
        wait_for(lambda n=turn + 1: server.log().count("Reload failed") == n, "the failure")
        assert worker_pids(server) == old
    (server.state / "startup-fails").unlink()
    server.send_signal(signal.SIGHUP)
    wait_workers(server, 1, without=old)


def test_no_descriptors_for_the_preloading_process(serve):
    """It is started again as soon as there are some."""
    server = serve("ops:app", "--preload")
    (old,) = wait_workers(server, 1)
    (zygote,) = titled(server, "preload")
    server.wait_log("Listening at")  # Before, its end is that of a failed start.
    used = len(descriptors(server.pid))
    before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    # Two go with the zygote and the worker, and two are needed for the next ones.
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (used - 2, before[1]))
    zygote.kill()
    server.wait_log("the preloading process ended")
    os.kill(old, signal.SIGKILL)
    server.wait_log("cannot start the preloading process")
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
    wait_workers(server, 1, without=[old])


def test_threads_of_the_app_do_not_keep_old_preloading_processes(serve):
    options = ["--preload", "--graceful-timeout", "1"]
    server = serve("edges:app", *options, env={"EDGES": "thread"})
    for _ in range(2):
        old = wait_workers(server, 1)
        server.send_signal(signal.SIGHUP)
        wait_workers(server, 1, without=old)
    wait_for(lambda: len(titled(server, "preload")) == 1, "the old ones to end")


@pytest.mark.parametrize("options", [[], ["--preload"]])
def test_programs_started_at_import_get_no_descriptors(serve, door, options):
    env = {"EDGES": "descriptors", "CWSGI_INTERPRETER": door}
    server = serve("edges:app", *options, env=env)
    # 3 is the listing's own.
    assert server.wait_marks("descriptors") == ["0 1 2 3"]


# ---- ends ----


def test_workers_that_leave_at_import_are_not_started_in_a_hurry(serve):
    server = serve("edges:app")
    (old,) = wait_workers(server, 1)
    (server.state / "exit-at-import").touch()
    os.kill(old, signal.SIGKILL)
    server.wait_marks("imported", 3)
    time.sleep(1)  # The rate is what is tried here: without a back-off, dozens.
    assert len(server.marks("imported")) < 12
    (server.state / "exit-at-import").unlink()
    server.wait_ready()
    wait_for(lambda: server.get("/who").status == 200, "service")


def test_a_worker_that_dies_during_the_drain_delay_is_replaced(serve):
    """Balancers still send requests."""
    server = serve("ops:app", "--drain-delay", "60")
    (old,) = wait_workers(server, 1)
    server.send_signal(signal.SIGTERM)
    server.wait_log("Still accepting")
    os.kill(old, signal.SIGKILL)
    wait_workers(server, 1, without=[old])
    assert server.get("/who").status == 200
    server.send_signal(signal.SIGHUP)  # Too late for that.
    assert server.stop(signal.SIGINT, timeout=5) == 0
    assert "Reload" not in server.log()


# ---- reloads ----


def test_a_failed_reload_keeps_the_number_of_workers(serve):
    server = serve("ops:app", workers=1)
    wait_workers(server, 1)
    server.send_signal(signal.SIGTTIN)
    old = wait_workers(server, 2)
    server.wait_marks("imported", 2)
    (server.state / "version").write_text("broken")
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reload failed")
    assert steady(server) == old


def test_a_reload_given_up_for_a_broken_file(serve, tmp_path):
    """What the one wanted that never served is forgotten."""
    conf = tmp_path / "a.conf.py"
    conf.write_text("workers = 1\n")
    server = serve("slow_import:app", "-c", conf, workers=None, wait=False)
    server.open_gate("import")
    server.wait_ready()
    old = wait_workers(server, 1)
    (server.state / "gate-import").unlink()
    conf.write_text("workers = 3\n")
    server.send_signal(signal.SIGHUP)
    wait_for(lambda: len(worker_pids(server)) == 2, "a new worker")
    conf.write_text("workers = nonsense\n")
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reload failed")
    server.open_gate("import")
    assert steady(server) == old


def test_a_failed_reload_keeps_the_log(serve, tmp_path):
    conf, first, second = tmp_path / "a.conf.py", tmp_path / "first", tmp_path / "second"
    conf.write_text(f"errorlog = {str(first)!r}\n")
    server = serve("ops:app", "-c", conf)
    wait_workers(server, 1)
    conf.write_text(f"errorlog = {str(second)!r}\n")
    (server.state / "version").write_text("broken")
    server.send_signal(signal.SIGHUP)
    wait_for(lambda: "Reload failed" in first.read_text(), "the failure")
    assert "this version is broken" in second.read_text()
    server.send_signal(signal.SIGTTIN)
    wait_for(lambda: "ttin" in first.read_text(), "the old log to go on")


def test_a_reload_starts_no_more_workers_than_fit(serve, tmp_path):
    """As at the start: the number was ours to choose."""
    name = "/sys/fs/cgroup/memory/memory.limit_in_bytes"
    if not os.path.exists(name):
        name = "/sys/fs/cgroup/memory.max"
    limit = tmp_path / "limit"
    limit.write_text("2000000\n")
    if not os.path.exists(name) or subprocess.run(["unshare", "-m", "true"]).returncode:
        pytest.skip("no file that tells of a limit, or no namespace to replace it in")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two CPUs")
    shell = f'mount --bind {limit} {name} && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", shell, "sh", *program()]
    server = serve("ops:app", workers=None, command=command)
    server.wait_log("starting 1 of")
    old = wait_workers(server, 1)
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded")
    wait_workers(server, 1, without=old)
    steady(server)
    assert len(server.marks("imported")) == 2
    assert server.log().count("starting 1 of") == 2


def test_winch_right_after_hup(serve, tmp_path):
    server = serve("ops:app", workers=1)
    wait_workers(server, 1)
    server.send_signal(signal.SIGUSR2)
    server.wait_log("beside this one")
    os.kill(server.pid, signal.SIGSTOP)
    server.send_signal(signal.SIGHUP)
    server.send_signal(signal.SIGWINCH)
    os.kill(server.pid, signal.SIGCONT)
    server.wait_log("Stopping the workers")
    wait_workers(server, 0)
    server.send_signal(signal.SIGTTOU)
    assert steady(server) == set()  # One less than none is not one.
    server.send_signal(signal.SIGHUP)
    wait_workers(server, 1)
    new = new_cwsgi(server)
    os.kill(new, signal.SIGTERM)
    server.wait_log("has ended; this one goes on")


def test_upgrade_with_an_address_for_metrics(serve):
    metrics = Port()
    server = serve("ops:app", "--metrics", metrics)
    wait_workers(server, 1)
    server.send_signal(signal.SIGUSR2)
    server.wait_marks("imported", 2)
    assert "has ended; this one goes on" not in server.log()
    server.send_signal(signal.SIGWINCH)
    wait_workers(server, 0)
    new = new_cwsgi(server)
    server.send_signal(signal.SIGQUIT)
    server.wait_exit()
    sock = metrics.connect()
    sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"200 OK" in sock.recv(1000)
    sock.close()
    assert server.get("/who").status == 200
    assert server.get("/metrics").status == 404  # Not on the public port.
    os.kill(new, signal.SIGTERM)
    wait_for(lambda: not server.members(), "the new one to end")
    metrics.close()


def test_upgrade_takes_the_file_of_a_unix_socket_over(serve, tmp_path):
    path = UnixPath(tmp_path / "app.sock")
    server = serve("ops:app", binds=[path])
    wait_workers(server, 1)
    server.send_signal(signal.SIGUSR2)
    server.wait_marks("imported", 2)
    new = new_cwsgi(server)
    server.stop(signal.SIGTERM)
    assert server.get("/who").status == 200
    server.wait_log("The cwsgi before this one has ended")
    os.kill(new, signal.SIGTERM)
    wait_for(lambda: not server.members(), "the new one to end")
    assert not os.path.exists(path.path)


def test_an_address_that_is_left_closes_before_its_last_request(serve, tmp_path):
    conf = tmp_path / "a.conf.py"
    first, second = Port(), Port()
    conf.write_text(f"bind = '{first}'\n")
    server = serve("ops:app", "-c", conf, binds=[first], bind_options=False)
    (old,) = wait_workers(server, 1)
    client = server.connect()
    client.send(request("/wait"))
    server.wait_marks("waiting")
    conf.write_text(f"bind = '{second}'\n")
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded")
    wait_for(first.refuses, "the old port to close")
    conf.write_text(f"bind = '{first}'\n")
    server.send_signal(signal.SIGHUP)
    wait_for(lambda: server.log().count("Reloaded") == 2, "the old port to open again")
    server.open_gate("wait")
    assert client.response().body == b"waited"
    wait_for(lambda: json.loads(server.get("/who").body)["pid"] != old, "service")
    second.close()


@pytest.mark.parametrize("options", [[], ["--preload"]])
def test_many_reloads_leave_nothing_behind(serve, tmp_path, options):
    conf, log = tmp_path / "a.conf.py", tmp_path / "log"
    ports = [Port(), Port()]
    path = UnixPath(tmp_path / "app.sock")

    def configure(turn):
        conf.write_text(
            f"bind = ['{path}', 'unix:{tmp_path}/other{turn % 2}.sock']\n"
            f"metrics = '{ports[turn % 2]}'\nerrorlog = '{log}'\naccesslog = '-'\n"
            f"def when_ready(server): pass\n"
        )

    configure(0)
    server = serve("ops:app", "-c", conf, *options, binds=[path], bind_options=False)
    old = wait_workers(server, 1)
    seen = []
    for turn in range(1, 41):
        configure(turn)
        server.send_signal(signal.SIGHUP)
        old = wait_workers(server, 1, without=old)
        wait_for(lambda: len(server.workers()) == 2 + len(options), "the old ones to end")
        if turn in (4, 40):
            (worker,) = old
            assert server.get("/who").status == 200
            open_here = wait_until_steady(lambda: len(descriptors(server.pid)), "descriptors")
            open_there = wait_until_steady(lambda w=worker: len(descriptors(w)), "descriptors")
            seen.append((open_here, open_there, rss(server)))
    assert seen[0][:2] == seen[1][:2]
    # Sanitizers keep what was freed.
    assert SLOW > 1 or seen[1][2] - seen[0][2] < 100 * 1024
    assert sorted(p.name for p in tmp_path.glob("*.sock")) == ["app.sock", "other0.sock"]
    for port in ports:
        port.close()


# ---- hooks ----


def test_a_helper_that_died_is_replaced(serve, tmp_path):
    """Hooks are not lost in silence."""
    conf = tmp_path / "a.conf.py"
    conf.write_text(
        "def child_exit(server, worker): server.log.info('saw the end of %s', worker.pid)\n"
    )
    server = serve("ops:app", "-c", conf)
    (pid,) = wait_workers(server, 1)
    (helper,) = {p.pid for p in server.workers()} - {pid}
    time.sleep(1.1)  # One that dies at once is not started again.
    psutil.Process(helper).kill()
    server.wait_log("the process that runs hooks ended")
    os.kill(pid, signal.SIGKILL)
    server.wait_log(f"saw the end of {pid}")


# ---- configuration files ----


def test_term_while_a_file_is_read_again(serve, tmp_path):
    """A file that takes long holds up no stop."""
    conf = tmp_path / "a.conf.py"
    conf.write_text("")
    server = serve("ops:app", "-c", conf)
    wait_workers(server, 1)
    conf.write_text("import time\nopen('reading', 'w')\ntime.sleep(30)\n")
    server.send_signal(signal.SIGHUP)
    wait_for((server.folder / "reading").exists, "the file to be read")
    assert server.stop(timeout=5) == 0


def test_the_reader_of_a_file_ends_with_the_start(serve, tmp_path):
    conf = tmp_path / "a.conf.py"
    conf.write_text("import time\nopen('reading', 'w')\ntime.sleep(30)\n")
    server = serve("ops:app", "-c", conf, wait=False)
    server.expected_exit = {-signal.SIGTERM}
    wait_for((server.folder / "reading").exists, "the file to be read")
    server.stop()


def test_variables_that_the_file_sets(serve, tmp_path):
    """gunicorn executes its file in the very process that workers are forked from."""
    conf = tmp_path / "a.conf.py"
    conf.write_text(
        "import os\n"
        "os.environ['FROM_FILE'] = 'a=b c'\n"
        "os.environ['LESS'] = 'from the file'\n"
        "del os.environ['GONE']\n"
        "raw_env = ['LESS=from raw_env']\n"
    )
    server = serve("edges:app", "-c", conf, env={"GONE": "x", "KEPT": "y"})
    seen = json.loads(server.get("/environ").body)
    assert seen["FROM_FILE"] == "a=b c"
    assert seen["LESS"] == "from raw_env"
    assert seen["KEPT"] == "y"
    assert "GONE" not in seen
    conf.write_text("")
    server.send_signal(signal.SIGHUP)
    wait_for(lambda: "FROM_FILE" not in json.loads(server.get("/environ").body), "it to go")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_check_config_that_is_interrupted_is_no_success(serve, number):

    def heed_signals():  # A shell has what it starts with & ignore INT.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        tied_to_this_process()

    server = serve("slow_import:app", "--check-config", wait=False, preexec=heed_signals)
    server.expected_exit = {-number}
    server.wait_marks("importing")
    os.killpg(server.pid, number)
    assert server.wait_exit(5) == -number


@pytest.mark.parametrize("works", [True, False])
def test_check_config_of_an_app_that_does_not_end(tmp_path, door, works):
    """Its answer is known before Python waits for a thread that nobody ends."""
    (tmp_path / "stays.py").write_text(
        "import threading\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        f"app = print if {works} else 1 / 0\n"
    )
    env = {"CWSGI_INTERPRETER": door}
    result = run("--check-config", "stays:app", cwd=tmp_path, env=env)
    assert result.returncode == (0 if works else 1)
    assert ("ZeroDivisionError" in result.stderr) == (not works)


def test_check_config_runs_functions_at_the_end(tmp_path):
    (tmp_path / "main.py").write_text(
        "import atexit\natexit.register(print, 'the end', flush=True)\napp = print\n"
    )
    result = run("--check-config", "main:app", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "the end\n")


def test_a_failing_app_in_the_background_tells_the_error_log(tmp_path):
    log = tmp_path / "error.log"
    options = ["--daemon", "--error-logfile", log, "-b", "127.0.0.1:0"]
    result = run(*options, "hello:no", cwd=os.path.dirname(__file__) + "/../apps")
    assert result.returncode == 4
    assert "'hello' has no attribute 'no'" in result.stderr
    assert "'hello' has no attribute 'no'" in log.read_text()
    assert "Shutting down" in log.read_text()


@pytest.mark.parametrize("options", [[], ["--preload"]])
def test_the_background_is_there_when_the_command_ends(tmp_path, options):
    """It ends when the service is ready, and nobody holds its output any more."""
    pid_file, port = tmp_path / "pid", Port()
    apps = os.path.dirname(__file__) + "/../apps"
    words = ["--daemon", "-p", pid_file, "-b", port, "-w", "2", *options]
    result = run(*words, "hello:app", cwd=apps)
    assert result.returncode == 0
    assert "Listening at" in result.stderr
    try:
        port.connect().close()
        os.kill(int(pid_file.read_text()), signal.SIGHUP)
        assert not port.refuses()
    finally:
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
    wait_for(lambda: not pid_file.exists(), "it to end")


def test_upgrade_in_the_background(tmp_path):
    pid_file, log, port = tmp_path / "pid", tmp_path / "log", Port()
    apps = os.path.dirname(__file__) + "/../apps"
    words = ["--daemon", "-p", pid_file, "-b", port, "-w", "1", "--error-logfile", log]
    assert run(*words, "hello:app", cwd=apps).returncode == 0
    old = int(pid_file.read_text())
    new_file = tmp_path / "pid.2"
    os.kill(old, signal.SIGUSR2)
    wait_for(new_file.exists, lambda: log.read_text())
    wait_for(lambda: log.read_text().count("Listening at") == 2, lambda: log.read_text())
    new = int(new_file.read_text())
    assert psutil.Process(new).ppid() == old
    assert "has ended; this one goes on" not in log.read_text()
    os.kill(old, signal.SIGQUIT)
    wait_for(lambda: not psutil.pid_exists(old), "the old one to end")
    port.connect().close()
    os.kill(new, signal.SIGTERM)
    wait_for(lambda: not psutil.pid_exists(new), "the new one to end")


# ---- --request-timeout ----


def test_request_timeout_is_not_raised_in_the_next_request(serve):
    """The one that was late ends while its stack is formatted."""
    server = serve("edges:app", "--request-timeout", "0.5", threads=1)
    late = server.connect()
    late.send(request("/slow-report"))
    server.wait_marks("formatting")
    server.open_gate("end")
    with server.connect() as client:
        client.send(request("/next"))
        server.wait_marks("next")
        server.open_gate("formatted")
        server.wait_log("REQUEST TIMEOUT")
        server.open_gate("next")
        assert client.response().body == b"not to be disturbed"
    assert server.get("/who").status == 200


def test_request_timeout_while_sending_leaves_close_alone(serve):
    server = serve("edges:app", "--request-timeout", "0.5")
    client = server.connect()
    client.send(request("/closed?n=4000000"))
    server.wait_log("raising cwsgi.RequestTimeout")
    client.close()
    server.wait_marks("closed")
    assert server.get("/who").status == 200


def test_many_timeouts_leave_nothing_behind(serve):
    server = serve("ops:app", "--request-timeout", "0.05", threads=2)
    (pid,) = wait_workers(server, 1)
    with Load(server, clients=2, path="/clean-up", keep_alive=False) as load:
        load.wait_answers(40)
        assert_flat_rss(pid, lambda: load.wait_answers(150))
    assert worker_pids(server) == {pid}


def test_whoever_reads_the_log_may_end(serve, tmp_path):
    """The server serves, reloads and stops as ever, and says later what is missing."""
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    pid_file, sock = tmp_path / "pid", UnixPath(tmp_path / "sock")
    options = ["--error-logfile", fifo, "--pid", pid_file]
    server = serve("ops:app", *options, binds=[Port(), sock], workers=1)
    old = wait_workers(server, 1)
    os.close(reader)
    server.send_signal(signal.SIGHUP)
    new = wait_workers(server, 1, without=old)
    assert server.get("/who").status == 200
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    server.send_signal(signal.SIGHUP)
    wait_workers(server, 1, without=new)
    heard = b""

    def told():
        nonlocal heard
        try:
            heard += os.read(reader, 1 << 16)
        except BlockingIOError:
            pass
        return b"could not be written" in heard

    wait_for(told, lambda: f"the number of lost lines in {heard}")
    os.close(reader)
    server.stop()
    assert not pid_file.exists() and not (tmp_path / "sock").exists()


def test_a_worker_that_is_gone_is_no_reason_to_end(serve):
    """It is told to go while it dies: the supervisor writes to a pipe without a reader."""
    server = serve("ops:app", workers=4)
    for _ in range(5):
        old = wait_workers(server, 4)
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        server.send_signal(signal.SIGHUP)
        wait_workers(server, 4, without=old)
