"""--request-timeout: 504 where nothing was sent, the worker lives."""

import re
import signal
import threading

import pytest
from client import SLOW, request, wait_for
from server import timed


def test_a_stuck_request_is_answered(serve):
    server = serve("observed:app", "--request-timeout", "0.5")
    client = server.connect()
    client.send(request("/wait?never"))
    response, seconds = timed(client.response)
    assert (response.status, response.body) == (504, b"Gateway Timeout\n")
    assert response.closes and client.at_end()
    assert 0.4 < seconds < 0.5 + 5 * SLOW
    server.wait_log("GET /wait took longer than 0.5 s")
    assert server.get("/").status == 200
    server.open_gate("never")


def test_the_query_is_logged_where_that_is_asked_for(serve):
    server = serve("observed:app", "--request-timeout", "0.5", "--log-query")
    client = server.connect()
    client.send(request("/wait?never"))
    assert client.response().status == 504
    server.wait_log("GET /wait?never took longer than 0.5 s")
    server.open_gate("never")


def test_what_the_app_still_sends_is_lost(serve):
    server = serve("observed:app", "--request-timeout", "0.3", "--log-level", "debug")
    client = server.connect()
    client.send(request("/wait-on?late"))
    assert client.response().status == 504
    server.wait_marks("interrupted")
    server.open_gate("late")
    server.wait_log("client left during GET /wait-on")
    assert client.at_end()
    assert server.get("/sleep?s=0.6").status == 504
    assert server.get("/").status == 200


def test_a_queued_request_never_runs(serve):
    server = serve("observed:app", "--request-timeout", "0.5", threads=1)
    busy, queued = server.connect(), server.connect()
    busy.send(request("/wait?one"))
    server.wait_marks("waiting")
    queued.send(request("/wait?two"))
    assert busy.response().status == 504
    assert queued.response().status == 504
    assert queued.at_end()
    server.open_gate("one")
    assert server.get("/").status == 200
    assert server.marks("waiting") == ["one"]


def test_a_response_that_has_begun_is_cut_off(serve):
    """The app learns of it as an exception; the client, by the missing end."""
    server = serve("observed:app", "--request-timeout", "0.3")
    client = server.connect()
    client.send(request("/stream"))
    client.read_until(b"first;")
    server.wait_log("GET /stream took longer than 0.3 s")
    server.wait_log("raising cwsgi.RequestTimeout")
    assert b"0\r\n\r\n" not in client.read()
    assert server.get("/").status == 200


@pytest.mark.parametrize("threads", [1, 8])
def test_the_thread_is_interrupted(serve, threads):
    """A loop in Python ends by RequestTimeout; its stack is in the log; the thread goes on."""
    server = serve("ops:app", "--request-timeout", "0.3", threads=threads)
    pid = server.worker().pid
    for _ in range(10):
        with server.connect() as client:
            client.send(request("/spin"))
            assert client.response().status == 504
    wait_for(lambda: server.log().count("raising cwsgi.RequestTimeout") == 10, "all to end")
    assert re.search(r'File ".*ops\.py", line \d+, in spin', server.log())
    assert server.get("/who").status == 200
    assert server.worker().pid == pid
    assert "Error handling request" not in server.log()


def test_the_app_may_clean_up(serve):
    server = serve("ops:app", "--request-timeout", "0.3")
    client = server.connect()
    client.send(request("/clean-up"))
    assert client.response().status == 504
    assert server.wait_marks("cleaned-up") == ["RequestTimeout True"]
    # What came too late for one request does not hit the next ones of its thread.
    for _ in range(50):
        assert server.get("/who").status == 200


def test_in_time(serve):
    """Requests in time cost their connection nothing, one after the other."""
    server = serve("observed:app", "--request-timeout", "0.5")
    client = server.connect()
    for _ in range(10):
        assert client.ask("/sleep?s=0.1").body == b"slept"
    client.send(request("/") * 20)
    for _ in range(20):
        assert client.response().body == b"hello"
    assert "took longer" not in server.log()


def test_uploads_do_not_count_until_they_are_here(serve):
    server = serve("observed:app", "--request-timeout", "0.3")
    client = server.connect()
    client.send(request("/read", "POST", [("Content-Length", "4")]) + b"ab")
    with pytest.raises(TimeoutError):
        client.sock.settimeout(0.8)
        client.sock.recv(1)
    client.sock.settimeout(20 * SLOW)
    client.send(b"cd")
    assert client.response().body == b"4"


def test_a_body_that_the_app_waits_for(serve):
    """The thread waits in cwsgi, and is let go."""
    server = serve("observed:app", "--request-timeout", "0.3", threads=1)
    client = server.connect()
    client.send(request("/read", "POST", [("Content-Length", "1000000")]) + b"ab")
    assert client.response().status == 504
    assert server.get("/").status == 200


def test_expect_continue(serve):
    server = serve("observed:app", "--request-timeout", "0.3", threads=1)
    client = server.connect()
    client.send(request("/read", "POST", [("Content-Length", "5"), ("Expect", "100-continue")]))
    assert client.head().startswith(b"HTTP/1.1 100 ")
    assert client.response().status == 504
    assert server.get("/").status == 200


def test_a_client_that_keeps_sending_gets_the_answer(serve):
    """No reset may overtake the 504."""
    server = serve("observed:app", "--request-timeout", "0.3")
    for _ in range(5):
        client = server.connect()
        client.send(request("/sleep?s=0.6") + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
        wait_for(lambda c=client: not c.quiet(), "an answer")
        server.get("/sleep?s=0.1")
        assert client.response().status == 504
        assert client.at_end()


def test_many_that_finish_just_in_time_or_not(serve):
    """Loop and thread race for the first byte: each client gets one whole answer."""
    server = serve("observed:app", "--request-timeout", "0.2", threads=32)
    said, problems = [], []

    def ask(seconds):
        try:
            with server.connect() as client:
                client.send(request(f"/sleep?s={seconds}"))
                response = client.response()
                said.append(response.status)
                assert response.body == (
                    b"slept" if response.status == 200 else b"Gateway Timeout\n"
                )
                if response.closes:
                    assert client.at_end()
        except (OSError, AssertionError) as error:
            problems.append(error)

    for _ in range(3):
        threads = [threading.Thread(target=ask, args=(0.19 + i * 0.005,)) for i in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not problems
    assert len(said) == 90
    assert set(said) <= {200, 504}


def test_logged_as_504(serve):
    server = serve(
        "observed:app",
        *("--request-timeout", "0.3", "--access-logfile", "-"),
        *("--access-logformat", "%(r)s %(s)s %(M)s", "--metrics", "/metrics"),
    )
    client = server.connect()
    client.send(request("/wait?x"))
    assert client.response().status == 504
    # Told now, not when the thread comes back.
    wait_for(lambda: server.stdout().count("\n") == 1, "the line")
    line, _, millis = server.stdout().strip().rpartition(" ")
    assert line == "GET /wait?x HTTP/1.1 504"
    assert int(millis) >= 290
    assert b'cwsgi_requests_total{status="504"} 1\n' in server.get("/metrics").body
    server.open_gate("x")
    wait_for(lambda: b"cwsgi_threads_busy 0\n" in server.get("/metrics").body, "its end")
    server.stop()
    assert server.stdout().count("\n") == 1


def test_term_after_a_timeout(serve):
    server = serve("observed:app", "--request-timeout", "0.3")
    client = server.connect()
    client.send(request("/sleep?s=1"))
    assert client.response().status == 504
    server.send_signal(signal.SIGTERM)
    assert server.wait_exit() == 0
