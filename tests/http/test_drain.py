"""TERM while kept-alive connections are in use: no request is lost."""

import signal
import threading
import time

from client import SLOW, request, wait_for
from server import timed


class Asking(threading.Thread):
    """Sends one request after the other on one connection until it is told to stop."""

    def __init__(self, server, pause):
        super().__init__()
        self.client, self.pause = server.connect(), pause
        self.answered, self.problem = 0, None

    def run(self):
        try:
            while True:
                self.client.send(request("/pid"))
                response = self.client.response()
                self.answered += 1
                if response.closes:
                    return
                time.sleep(self.pause)
        except (OSError, AssertionError) as error:
            self.problem = f"after {self.answered} answers: {error!r}"


def test_requests_under_way_at_term_are_answered(serve):
    """A client told to keep the connection may send at any moment, and is answered."""
    for _ in range(3):
        server = serve("dying:app", workers=2)
        asking = [Asking(server, pause) for pause in [0, 0.0003, 0.002, 0.01, 0.05, 0.2] * 2]
        for one in asking:
            one.start()
        wait_for(lambda all=asking: all[0].answered > 50 and all[5].answered, "some answers")
        server.send_signal(signal.SIGTERM)
        assert server.wait_exit() == 0
        for one in asking:
            one.join()
        assert [one.problem for one in asking if one.problem] == []


def test_a_request_after_term_is_the_last(serve):
    server = serve("dying:app")
    client, silent = server.connect(), server.connect()
    for one in (client, silent):
        assert client.ask("/pid").header("Connection") is None
        one.ask("/pid")
    server.send_signal(signal.SIGTERM)
    wait_for(server.binds[0].refuses, "the port to be closed")
    response = client.ask("/pid")
    assert response.status == 200
    assert response.header("Connection") == "close"
    assert client.at_end()
    assert silent.at_end()
    assert server.wait_exit() == 0


def test_a_response_from_before_term_leaves_the_connection_open(serve):
    """Its head did not announce the end: the next request is awaited for a moment."""
    server = serve("dying:app")
    client = server.connect()
    client.send(request("/stream"))
    client.read_until(b"\r\n\r\n")
    server.wait_marks("waiting")
    server.send_signal(signal.SIGTERM)
    wait_for(server.binds[0].refuses, "the port to be closed")
    server.open_gate("stream")
    client.read_until(b"0\r\n\r\n")
    response = client.ask("/pid")
    assert response.status == 200
    assert response.header("Connection") == "close"
    assert client.at_end()
    assert server.wait_exit() == 0


def test_idle_connections_delay_the_end_by_no_more_than_the_window(serve):
    server = serve("dying:app")
    for _ in range(20):
        server.connect().ask("/pid")
    status, seconds = timed(server.stop)
    assert status == 0
    assert seconds < 1 + SLOW
