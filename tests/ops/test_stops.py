"""An ordinary stop leaves no line that looks like a failure, whenever it comes."""

import os
import signal

import pytest
from client import request, wait_for
from ops import wait_workers


def no_errors(server):
    log = server.log()
    assert "[ERROR]" not in log and "[CRITICAL]" not in log and "out of memory" not in log, log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("options", [[], ["--preload"]])
@pytest.mark.parametrize("group", [False, True])
def test_stop_while_python_starts(serve, tmp_path, number, options, group):
    """Before a worker has handlers of its own; systemd speaks to the whole group."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, time\n"
        "state = os.environ['CWSGI_TEST_DIR']\n"
        "open(state + '/mark-starting', 'a').write('x\\n')\n"
        "while not os.path.exists(state + '/gate-start'): time.sleep(0.01)\n"
    )
    env = {"PYTHONPATH": tmp_path}
    server = serve("ops:app", *options, env=env, wait=False, workers=2)
    server.wait_marks("starting")
    (os.killpg if group else os.kill)(server.pid, number)
    server.wait_log("Shutting down")
    server.open_gate("start")
    assert server.wait_exit() == 0
    no_errors(server)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_a_second_stop_does_not_cut_off_the_end(serve, tmp_path, number):
    (tmp_path / "ending.py").write_text(
        "import sys\n"
        f"sys.path.insert(0, {os.path.dirname(__file__) + '/../apps'!r})\n"
        "import cwsgi\n"
        "from common import mark, wait_gate\n"
        "from hello import app\n"
        "@cwsgi.on_shutdown\n"
        "def end():\n"
        "    mark('ending')\n"
        "    wait_gate('end')\n"
        "    mark('ended')\n"
    )
    server = serve("ending:app", chdir=tmp_path)
    (pid,) = wait_workers(server, 1)
    server.send_signal(signal.SIGTERM)
    server.wait_marks("ending")
    os.kill(pid, number)
    server.send_signal(signal.SIGTERM)
    server.open_gate("end")
    assert server.wait_exit() == 0
    assert len(server.marks("ended")) == 1
    no_errors(server)


def test_our_own_kill_is_told_as_ours(serve):
    server = serve("ops:app", "--graceful-timeout", "0.1")
    (pid,) = wait_workers(server, 1)
    client = server.connect()

    client.send(request("/wait"))
    server.wait_marks("waiting")
    os.kill(pid, signal.SIGSTOP)
    assert server.stop() == 0
    assert f"Worker (pid:{pid}) did not stop in time; killed" in server.log()
    assert f"Worker (pid:{pid}) was ended by this process" in server.log()
    assert "it was running: GET /wait" in server.log()
    assert "out of memory" not in server.log()


def test_somebody_elses_kill_is_still_an_error(serve):
    server = serve("ops:app")
    (pid,) = wait_workers(server, 1)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: f"Worker (pid:{pid}) was killed by SIGKILL" in server.log(), "the line")
    assert "Perhaps out of memory?" in server.log()
