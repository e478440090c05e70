"""`cwsgi tune`: decisions on planted figures, what it sends, and short runs on real apps."""

import json
import re
import signal
import socketserver
import subprocess
import threading

import pytest
from client import wait_for
from server import Port, clean_env, no_tsan, program, run

pytestmark = [no_tsan, pytest.mark.timeout(240)]

APP = """
import os
import time


def app(environ, start_response):
    path = environ["PATH_INFO"]
    status = "200 OK"
    if path == "/fails":
        status = "500 Internal Server Error"
    elif path == "/none":
        status = "404 Not Found"
    time.sleep(0.005)
    start_response(status, [("Content-Length", "2")])
    return [b"ok"]


async def loop(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


if os.environ.get("TUNE_TEST_BREAKS"):
    raise RuntimeError("it does not start")
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tuned.py").write_text(APP)
    return tmp_path


@pytest.fixture
def tmp_path(open_folder):
    return open_folder


def tune(folder, *words, app="tuned:app", env=None):
    return run("tune", app, *words, cwd=folder, env=env, timeout=120)


# ---- decisions ----


def play(capacity, workers=4, threads=64, memory=0, each=50, failed=(), capped=10**9):
    """Runs a plan against planted figures; returns it and what it advises."""
    from cwsgi._tools import _trials

    plan = _trials.Plan(_trials.Limits(workers, threads, memory))
    while setting := plan.next():
        assert setting not in plan.done
        per_s = capacity(setting.workers, setting.threads)
        one = 1 if setting.preload else setting.workers
        plan.done[setting] = _trials.Trial(
            setting,
            per_s,
            busy=capacity.busy if setting.threads == 1 else 1.0,
            memory=(each * one) << 20,
            failed="broke" if setting in failed else "",
            capped=per_s > capped,
        )
        assert len(plan.done) <= plan.most() + 5
    return plan, _trials.best(list(plan.done.values()))


def app_of(waits, computes, cpus=4, pool=10**9):
    """What an app bears that waits and computes so many seconds: each worker has one GIL."""

    def capacity(workers, threads):
        at_once = min(workers * threads, pool)
        return min(at_once / (waits + computes), min(workers, cpus) / max(computes, 1e-9))

    capacity.busy = computes / (waits + computes)
    return capacity


def chosen(trial):
    return trial.setting.workers, trial.setting.threads


def test_a_blocking_app():
    from cwsgi._tools import _trials

    plan, best = play(app_of(0.05, 0.0001), workers=1)
    assert chosen(best) == (1, 64) and any("no more threads" in one for one in plan.stops)
    assert _trials.kind(plan.done[_trials.Setting(1, 1)]) == "blocking"
    text = " ".join(_trials.reasons(list(plan.done.values()), best))
    assert "wait for others" in text and "64.0 times as much" in text


def test_a_blocking_app_whose_database_has_so_many_connections():
    plan, best = play(app_of(0.05, 0.0001, pool=16))
    assert chosen(best) == (1, 16)
    # Neither 64 threads nor four workers were worth a trial.
    assert {one.threads for one in plan.done} == {1, 2, 4, 8, 16, 32}
    assert max(one.workers for one in plan.done) == 2


def test_a_computing_app():
    from cwsgi._tools import _trials

    plan, best = play(app_of(0, 0.01))
    assert chosen(best) == (4, 1) and best.setting.preload
    assert max(one.threads for one in plan.done) == 2
    assert _trials.kind(plan.done[_trials.Setting(1, 1)]) == "computing"
    assert "--preload: 50 MiB instead of 200 MiB" in " ".join(
        _trials.reasons(list(plan.done.values()), best)
    )


def test_a_mixed_app():
    from cwsgi._tools import _trials

    plan, best = play(app_of(0.03, 0.01))
    assert chosen(best) == (4, 4)
    assert _trials.kind(plan.done[_trials.Setting(1, 1)]) == "mixed"


def test_memory_bounds_workers():
    plan, best = play(app_of(0, 0.01), memory=120 << 20)
    assert chosen(best) == (2, 1) and any("more than there is" in one for one in plan.stops)


def test_one_thread_is_best():
    from cwsgi._tools import _trials

    plan, best = play(app_of(0, 0.01), workers=1)
    assert chosen(best) == (1, 1)
    assert "times as much" not in " ".join(_trials.reasons(list(plan.done.values()), best))


def test_preload_that_saves_little():
    _, best = play(app_of(0, 0.01), each=1)
    assert chosen(best) == (4, 1) and not best.setting.preload


def test_what_failed_or_was_capped_is_never_advised():
    from cwsgi._tools._trials import Setting

    plan, best = play(app_of(0.05, 0.0001), workers=1, failed=[Setting(1, 8)])
    assert chosen(best) == (1, 4) and "broke" in plan.stops[0]
    plan, best = play(app_of(0.05, 0.0001), workers=1, capped=100)
    assert chosen(best) == (1, 4) and "load generator" in plan.stops[0]
    plan, best = play(app_of(0, 0.001), capped=100)
    assert best is None and list(plan.done) == [Setting(1, 1)]
    assert play(app_of(0, 0.001), failed=[Setting(1, 1)])[1] is None


def rounds(*planted):
    """What counts of rounds: each of answers a second, others' processors, idle ones, statuses."""
    from cwsgi._tools import _measure

    left = [
        _measure.Round(
            {"per_s": per_s, "statuses": statuses, "errors": {}, "sent": 9}, 1.0, 0.0, others, idle
        )
        for per_s, others, idle, statuses in planted
    ]
    best, count = _measure.best_round(lambda: left.pop(0))
    return best.found["per_s"], count


def test_rounds_that_others_disturb_are_repeated():
    good = {"200": 9}
    assert rounds((5, 0.1, 0.0, good)) == (5, 1)
    # Others compute, but on processors that nobody else wants.
    assert rounds((5, 3.0, 1.0, good)) == (5, 1)
    assert rounds((5, 0.5, 0.0, good), (4, 0.1, 0.0, good)) == (5, 2)
    assert rounds((5, 0.5, 0.0, good), (7, 0.9, 0.1, good), (6, 0.5, 0.0, good)) == (7, 3)
    # An error is not outvoted.
    assert rounds((5, 0.5, 0.0, good), (2, 0.5, 0.0, {"200": 8, "503": 1})) == (2, 2)


def test_what_is_said_of_a_generator_at_its_limit():
    from cwsgi._tools import _trials, _tuned

    figures = {"cpu": 0.5, "cpu_of_others": 0.0, "rounds": 1, "latency_doubtful": True}
    one = _trials.Trial(_trials.Setting(1, 1), 9000.0, capped=True, figures=figures)
    found = _tuned.findings([one], [], False)
    assert found["advice"] is None and found["trials"][0]["counts"] is False
    (note,) = found["notes"]
    assert "at its limit at 9000 requests/s" in note and "is not compared" in note
    failed = _trials.Trial(_trials.Setting(1, 2), 0.0, failed="status 500 (3 of 9 requests)")
    found = _tuned.findings([one, failed], [], True)
    assert "is not to be used: status 500" in " ".join(found["notes"])
    assert "ASGI" in found["notes"][0]


# ---- latency, from when a request was due ----


def test_a_stall_is_charged_for_all_that_was_due():
    from cwsgi._tools._load import Schedule, percentile

    schedule = Schedule(rate=10, count=20, start=100.0)
    assert schedule.take(99.9) == [] and schedule.wait(99.9) == pytest.approx(0.1)
    assert schedule.take(100.0) == [0]
    # The server says nothing for a second; ten more became due meanwhile.
    assert schedule.take(101.0) == list(range(1, 11))
    for number in range(11):
        schedule.answered(number, 101.0)
    assert schedule.latencies == pytest.approx([1.0 - n / 10 for n in range(11)])
    # How late the generator itself was is told apart.
    assert schedule.late[1:] == pytest.approx([0.9 - n / 10 for n in range(10)])
    assert len(schedule.take(1000.0)) == 9 and schedule.wait(1000.0) is None
    assert percentile([3, 1, 2], 50) == 2 and percentile([], 50) is None
    assert percentile(list(range(1, 101)), 99) == 99 and percentile([7], 99) == 7


# ---- the generator and answers ----


class Handler(socketserver.StreamRequestHandler):
    """Answers what the server is told to."""

    def handle(self):
        while True:
            line = self.rfile.readline()
            if not line:
                return
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            with self.server.lock:
                self.server.seen.append(line.decode().split()[1])
            self.server.gate.wait(60)
            self.wfile.write(self.server.answer)
            if b"close" in self.server.answer:
                return


@pytest.fixture
def tiny():
    class Tiny(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 128

    with Tiny(("127.0.0.1", 0), Handler) as server:
        server.lock, server.seen, server.gate = threading.Lock(), [], threading.Event()
        server.gate.set()
        server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.gate.set()
        server.shutdown()
        thread.join()


def job(server, **more):
    from cwsgi._tools._load import Job

    requests = [("GET", f"GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) for n in range(3)]
    port = server if isinstance(server, int) else server.server_address[1]
    return Job(port, requests, **{"connections": 4, "seconds": 0.3, **more})


ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
]


@pytest.mark.parametrize("rate", [0, 200])
@pytest.mark.parametrize("answer", ANSWERS)
def test_all_sent_are_answered(tiny, answer, rate):
    from cwsgi._tools import _load

    tiny.answer = answer
    found = _load.run(job(tiny, rate=rate))
    assert found["errors"] == {} and found["sent"] == found["answered"] == len(tiny.seen) > 0
    assert set(tiny.seen) <= {"/0", "/1", "/2"} and sum(found["statuses"].values()) > 0
    if rate:
        assert found["sent"] == found["due"] == 60
        assert set(tiny.seen) == {"/0", "/1", "/2"}


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_come_in_parts(answer):
    from cwsgi._tools._http import Answer

    one = Answer("GET")
    done = [one.feed(answer[at : at + 1]) for at in range(len(answer))]
    assert not any(done[:-1])
    assert done[-1] or (b"close" in answer and one.end())


@pytest.mark.parametrize(
    "answer, says",
    [
        (b"SSH-2.0-x\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "no number"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "no number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nok", "was closed"),
    ],
)
def test_broken_answers_are_errors(tiny, answer, says):
    from cwsgi._tools import _load

    tiny.answer = answer
    found = _load.run(job(tiny, rate=10, seconds=0.1, connections=1))
    assert found["answered"] == 0 and found["sent"] == 1
    ((what, count),) = found["errors"].items()
    assert says in what and count == 1


def test_nobody_listens():
    from cwsgi._tools import _load

    port = Port()
    for rate in (0, 50):
        found = _load.run(job(port.number, rate=rate, seconds=0.1))
        assert found["answered"] == 0 and found["errors"]["Connection refused"] == found["sent"] > 0


def test_a_stalled_server_is_charged(tiny):
    """All of the schedule counts, though one connection could ask for one only."""
    from cwsgi._tools import _load

    tiny.gate.clear()
    generator = _load.Generator(job(tiny, rate=100, seconds=0.2, connections=1))

    def open_gate():
        wait_for(lambda: generator.schedule and generator.schedule.next == 20, "all to be due")
        tiny.gate.set()

    thread = threading.Thread(target=open_gate)
    thread.start()
    found = generator.run()
    thread.join()
    assert found["sent"] == found["answered"] == found["due"] == 20
    # The first was due 0.19 s before the last, and all were answered after that.
    latencies = sorted(generator.schedule.latencies)
    assert latencies[-1] >= 0.19 and latencies[10] >= 0.09


# ---- requests ----


def of(words, every=False):
    from cwsgi._tools import _requests

    return _requests.of_words([str(word) for word in words], every)


def test_paths_and_files_of_them(tmp_path):
    file = tmp_path / "paths"
    file.write_text("# comment\n/a?token=s3cret\n\nPOST /b\n")
    found = of(["/", file])
    assert [one.name() for one in found.requests] == ["GET /", "GET /a", "POST /b"]
    assert b"GET /a?token=s3cret HTTP/1.1\r\n" in found.requests[1].encode("h")
    assert b"Content-Length: 0\r\n" in found.requests[2].encode("h")


LOGS = [
    '127.0.0.1 - - [27/Nov/2026:10:00:00 +0000] "{} HTTP/1.1" 200 5 "-" "curl/8"',
    '127.0.0.1 - - [27/Nov/2026:10:00:00 +0000] "{} HTTP/1.1" 200 5',
]


@pytest.mark.parametrize("line", LOGS)
def test_access_logs(tmp_path, line):
    file = tmp_path / "access.log"
    file.write_text("\n".join(map(line.format, ["GET /a?b=c", "POST /b", "HEAD /c"])))
    found = of([file])
    assert [one.name() for one in found.requests] == ["GET /a", "HEAD /c"]
    assert found.left_out == 1 and len(of([file], every=True).requests) == 3


@pytest.mark.parametrize("form", ["combined", "json", "gcp", '%(h)s "%(r)s" %(s)s'])
def test_access_logs_of_ours(serve, tmp_path, form):
    """What a server has logged is what is sent, byte by byte."""
    log = tmp_path / "access.log"
    server = serve("hello:app", "--access-logfile", log, "--access-logformat", form)
    targets = ["/", "/a?b=c&d=%20e", "/?x", "/q%22'", "//x/../y"]
    for target in targets:
        # A browser of this name must not make a HAR of it.
        assert server.request(target, headers=[("User-Agent", "log")]).status == 200
    assert server.request("/form?a", method="POST", body=b"x").status == 200
    wait_for(lambda: len(log.read_text().splitlines()) == 6, "all lines")
    found = of([log])
    assert [(one.method, one.path) for one in found.requests] == [("GET", x) for x in targets]
    assert found.left_out == 1
    assert ("POST", "/form?a") in [(one.method, one.path) for one in of([log], True).requests]


def test_json_logs_of_others(tmp_path):
    """Lines that tell of no request are passed over; what is no ASCII is encoded."""
    lines = [
        '{"method": "GET", "path": "/caf\u00e9", "query": "a b"}',
        '{"method": "GET"}',
        '{"method": 7, "path": "/"}',
        '{"method": "GET", "path": 7}',
        '{"method": "GET", "path": "*"}',
        '{"method": "get\\r\\n", "path": "/"}',
        '{"httpRequest": null}',
        '{"httpRequest": {"requestMethod": "GET", "requestUrl": "https://h:1/b?c"}}',
        '{"httpRequest": {"requestMethod": "OPTIONS", "requestUrl": "https://h*"}}',
        '{"request_line": "\\u0016\\u0003", "status": 400}',
        "{",
        "[INFO] something else",
    ]
    (tmp_path / "log").write_text("\n".join(lines))
    found = of([tmp_path / "log"], every=True).requests
    assert [one.path for one in found] == ["/caf%C3%A9?a%20b", "/b?c"]


def har(tmp_path, *requests):
    file = tmp_path / "a.har"
    file.write_text(json.dumps({"log": {"entries": [{"request": one} for one in requests]}}))
    return file


def test_har(tmp_path):
    fields = [{"name": "Cookie", "value": "a=b"}, {"name": "Host", "value": "evil"}]
    get = {"method": "GET", "url": "https://x.example/p/q?r=s", "headers": fields}
    post = {"method": "POST", "url": "https://x.example", "postData": {"text": "a=ü"}}
    found = of([har(tmp_path, get, post)], every=True)
    sent = [one.encode("127.0.0.1") for one in found.requests]
    assert sent[0].startswith(b"GET /p/q?r=s HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: a=b\r\n")
    assert sent[1].endswith(b"\r\n\r\na=\xc3\xbc") and b"Content-Length: 4\r\n" in sent[1]
    assert of([har(tmp_path, get, post)]).left_out == 1


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "no request to send"),
        ("nothing here at all\n", "neither a path"),
        ("GET x\n", "has to begin with /"),
        ('{"log": 1}', "no HAR"),
        ('1 - - [x] "DELETE /x HTTP/1.1" 200 1\n', "may change data"),
    ],
)
def test_files_that_will_not_do(tmp_path, text, says):
    from cwsgi._tools import ToolError

    (tmp_path / "file").write_text(text)
    with pytest.raises(ToolError, match=says):
        of([tmp_path / "file"])
    with pytest.raises(ToolError, match="No such file"):
        of(["nowhere"])


# ---- the whole ----


def test_end_to_end(folder):
    words = ["--requests", "/", "--seconds", "0.3", "--max-threads", "2", "--max-workers", "2"]
    done = tune(folder, *words, "--json", "--html", "page.html", "-w", "7", "--timeout", "20")
    assert done.returncode in (0, 1) and done.stderr == ""
    report = json.loads(done.stdout)
    assert report["format"] == 1 and report["app"] == "tuned:app"
    assert report["facts"]["interface"] == "wsgi" and report["facts"]["statuses"] == {"200": 1}
    first = report["trials"][0]
    assert (first["workers"], first["threads"], first["failed"]) == (1, 1, None)
    assert first["requests_per_s"] > 0 and first["memory_bytes"] > 1 << 20
    assert first["offered"] > 0 and first["cpu"] > 0
    if advice := report["advice"]:
        concurrency = advice["workers"] * advice["threads"]
        assert advice["cloud_run"]["concurrency"] == concurrency
    page = (folder / "page.html").read_text()
    assert page.count("<svg") >= 4 and "prefers-color-scheme: dark" in page
    assert not re.search(r"(src|href)=|<script|https?://", page)


def test_text_and_asgi(folder):
    words = ["--seconds", "0.2", "--max-workers", "1", "--requests", "/"]
    # The app may follow the requests.
    done = run("tune", *words, "tuned:loop", cwd=folder, timeout=120)
    assert done.returncode in (0, 1), done.stderr
    assert "note: an ASGI app runs in a loop" in done.stdout
    assert re.search(r"^. 1 x 1 ", done.stdout, re.M) and "2 x" not in done.stdout
    assert done.stderr.startswith("cwsgi tune: 1 worker x 1 thread: ")


@pytest.mark.parametrize(
    "words, env, status, says",
    [
        ([], {}, 2, "--requests: a path or a file"),
        (["--requests", "/fails", "/"], {}, 1, "GET /fails: status 500 .* not to be tuned for"),
        (["--requests", "/none"], {}, 1, "no request was answered with success, only with 404"),
        (["--requests", "/"], {"TUNE_TEST_BREAKS": "1"}, 1, "RuntimeError: it does not start"),
        (["--requests", "/", "--html", "/nowhere/x"], {}, 1, "--html: .*No such file"),
        (["--requests", "/", "--seconds", "0"], {}, 2, "from 0.1 to 600"),
    ],
)
def test_what_cannot_be_tuned(folder, words, env, status, says):
    done = tune(folder, *words, env=env)
    assert done.returncode == status, done.stderr
    assert re.search(says, done.stderr) and "cwsgi tune" in done.stderr and done.stdout == ""


def test_no_rights_and_nowhere_to_write(for_nobody):
    env = {**clean_env(for_nobody["env"]), "TMPDIR": "/nowhere", "HOME": "/nowhere"}
    words = ["tune", "--requests", "/", "--seconds", "0.2", "--max-threads", "1"]
    done = subprocess.run(
        [*program(), *words, "--max-workers", "1", "hello:app"],
        env=env, user="nobody", cwd=for_nobody["chdir"], capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    assert re.search(r"^. 1 x 1 ", done.stdout, re.M)


def below(pid):
    """A process's children, and theirs."""
    from cwsgi._tools._servers import children

    found = children(pid)
    return [*found, *(one for child in found for one in below(child))]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(folder, number):
    from cwsgi._tools._servers import is_alive

    command = [*program(), "tune", "tuned:app", "--requests", "/", "--seconds", "60"]
    with subprocess.Popen(
        command, env=clean_env(), cwd=folder, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            # A supervisor, a worker, and the load generator.
            wait_for(lambda: len(below(process.pid)) >= 3, "a load")
            started = below(process.pid)
            process.send_signal(number)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130 and "Traceback" not in err
    assert [pid for pid in started if is_alive(pid)] == []
