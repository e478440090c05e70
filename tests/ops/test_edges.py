"""Where things happen at the wrong moment: deaths, signals and reloads that meet."""

import signal

from client import wait_for
from ops import wait_workers, worker_pids


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
