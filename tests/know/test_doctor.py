"""`cwsgi doctor`: each fault that was planted is found, and nothing where there is none."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from client import wait_for
from doctored import PLATFORM, SICK, doctor, finding, ids
from server import clean_env, in_read_only_root, no_tsan, program, run

GOOD = Path(__file__).with_name("good")
ROOT = Path(__file__).resolve().parents[2]

pytestmark = [no_tsan, pytest.mark.timeout(300)]


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


# ---- at the import ----


@pytest.mark.parametrize(
    "app, found, says",
    [
        ("slow_import", "slow-import", r"importing heavy takes \d+ ms"),
        ("work", "import-work", r"work works for \d+ ms"),
        ("sleeps", "import-sleep", r"sleeps for 2\d\d ms"),
        ("programs", "import-subprocess", r"runs other programs"),
        ("serial", "startup-serial", r"serial\.connect_all\(\) waits 2 times"),
        ("lifespan_serial", "startup-serial", r"the app's lifespan waits 2 times"),
        ("flask_debug", "debug-on", "debug mode"),
        ("fastapi_debug", "debug-on", "debug mode"),
        ("logs_disabled", "log-lost", "lost"),
        ("logs_queue", "log-lost", "lost"),
        ("logs_silent", "log-lost", "lost"),
        ("logs_off", "log-lost", "lost"),
    ],
)
def test_planted_in_the_app(app, found, says):
    report = doctor(f"{app}:app")
    assert ids(report) == [found]
    assert re.search(says, finding(report, found)["title"])


def test_where_it_is(door):
    report = doctor("sleeps:app", CWSGI_INTERPRETER=door)
    (line,) = finding(report, "import-sleep")["details"]
    assert re.fullmatch(r"0\.2 s, \d+ ms, at .*sick/sleeps\.py:5", line)


@pytest.mark.parametrize(
    "app", ["fine", "parallel", "lifespan_parallel", "logs_queue_read", "threads", "seeded"]
)
def test_nothing_is_planted(app):
    assert ids(doctor(f"{app}:app")) == []


def test_connections(listener):
    report = doctor("network:app", SICK_PORT=listener)
    assert ids(report) == ["import-network"]
    assert f"127.0.0.1:{listener}" in finding(report, "import-network")["details"][0]
    assert any(f"127.0.0.1:{listener}" in one for one in breaks(report))


def breaks(report):
    return report["facts"]["start"]["preload_would_break"]


def test_big_reads(tmp_path):
    (tmp_path / "data").write_bytes(bytes(3 << 20))
    report = doctor("reads:app", SICK_FILE=tmp_path / "data")
    assert ids(report) == ["import-big-read"]
    assert "3.0 MiB" in finding(report, "import-big-read")["title"]


def test_preload_loses_threads():
    report = doctor("threads:app", "--preload")
    assert ids(report) == ["threads-before-fork"]
    assert "poller" in finding(report, "threads-before-fork")["details"][0]


def test_threads_that_keep_it_from_ending():
    """Neither doctor nor what it asks the server waits for them."""
    report = doctor("stays:app", before=["--no-image"])
    assert ids(report) == ["stop-waits"]
    assert finding(report, "stop-waits")["details"] == ["stays"]
    assert set(report["facts"]["memory"]) >= {"plain", "preload"}
    assert ids(doctor("leaves:app")) == []


def test_preload_shares(listener):
    assert ids(doctor("seeded:app", "--preload")) == ["preload-breaks"]
    report = doctor("network:app", "--preload", SICK_PORT=listener)
    assert ids(report) == ["import-network", "preload-breaks"]


def test_missing_pyc(tmp_path):
    app = tmp_path / "app"
    shutil.copytree(SICK, app)
    names = [f"module_{i}" for i in range(15)]
    for name in names:
        (app / "many" / f"{name}.py").write_text("def f():\n    return 1\n" * 50)
    (app / "many/__init__.py").write_text(f"modules = {names}\n")
    report = doctor("uncompiled:app", folder=app, PYTHONDONTWRITEBYTECODE="1")
    assert ids(report) == ["pyc-missing"]
    assert re.match(r"1[67] modules", finding(report, "pyc-missing")["title"])
    shutil.rmtree(app / "__pycache__", ignore_errors=True)
    assert ids(doctor("uncompiled:app", folder=app)) == []


def test_django():
    report = doctor("django_debug:app")
    assert ids(report) == ["debug-on", "django-trusts-headers"]
    assert finding(report, "debug-on")["severity"] == "error" and report["exit"] == 8
    cleared = doctor("django_debug:app", "--clear-untrusted-proxy-headers")
    assert ids(cleared) == ["debug-on"]


# ---- settings ----


@pytest.mark.parametrize(
    "words, env, found",
    [
        (["-w", "50"], {}, ["workers-over-cpus"]),
        ([], {"WEB_CONCURRENCY": "50"}, ["workers-over-cpus"]),
        (["--keep-alive", "5"], {}, ["keepalive-short"]),
        (["--keep-alive", "90"], {}, []),
        (["--keep-alive", "90"], {"K_SERVICE": "x"}, ["keepalive-short"]),
        (["--graceful-timeout", "30"], {"K_SERVICE": "x"}, ["grace-too-long"]),
        (["-b", "127.0.0.1:9"], {"K_SERVICE": "x"}, ["bind-localhost"]),
        (["-b", "0.0.0.0:9"], {"PORT": "8080"}, ["port-ignored"]),
        (["-b", "localhost:9"], {"PORT": "8080"}, ["bind-localhost", "port-ignored"]),
        (["-b", "0.0.0.0"], {"PORT": "8080"}, []),
        (["-b", "unix:/run/x.sock"], {"PORT": "8080"}, []),
        (["--forwarded-allow-ips", "*"], {}, ["trust-anybody"]),
        ([], {"FORWARDED_ALLOW_IPS": "*"}, ["trust-anybody"]),
        (["--timeout", "10", "--request-timeout", "30"], {}, ["timeouts-crossed"]),
        (["--timeout", "60", "--request-timeout", "30"], {}, []),
        (["--daemon"], {"K_SERVICE": "x"}, ["daemon-in-container"]),
        (["--worker-tmp-dir", "/dev/shm"], {}, ["option-no-effect"]),
        ([], {"K_SERVICE": "x", "PORT": "8080"}, []),
    ],
)
def test_planted_in_settings(words, env, found):
    assert ids(doctor("fine:app", *words, **env)) == found


def test_settings_from_a_file(tmp_path):
    config = tmp_path / "conf.py"
    config.write_text("keepalive = 2\nworkers = 60\n")
    assert ids(doctor("fine:app", "-c", config)) == ["keepalive-short", "workers-over-cpus"]


def test_files_that_are_the_servers(serve, tmp_path):
    """Its pid file and its log are left alone, also while the server runs."""
    config = tmp_path / "conf.py"
    pidfile, log = tmp_path / "pid", tmp_path / "access.log"
    config.write_text(f"pidfile = {str(pidfile)!r}\naccesslog = {str(log)!r}\n")
    server = serve("fine:app", "-c", config, chdir=SICK)
    server.get("/")
    before = wait_for(log.read_text, "the line of the request")
    report = doctor("fine:app", "-c", config, before=["--no-image"])
    assert ids(report) == [] and report["facts"]["memory"]["plain"]["sizes"]["1"]
    assert pidfile.read_text() == f"{server.pid}\n" and log.read_text() == before
    assert not list(Path("/tmp").glob("cwsgi-doctor-*"))


def test_a_file_with_daemon(tmp_path):
    config = tmp_path / "conf.py"
    config.write_text("daemon = True\nkeepalive = 1\n")
    report = doctor("fine:app", "-c", config, K_SERVICE="x")
    assert ids(report) == ["daemon-in-container", "keepalive-short"]
    assert report["skipped"] == ["starts and memory: the configuration file has daemon = True"]


def test_files(tmp_path):
    path = tmp_path / "x"
    assert ids(doctor("writes:app", K_SERVICE="x", SICK_FILE=path)) == ["disk-is-memory"]
    assert ids(doctor("logs_file:app", K_SERVICE="x", SICK_FILE=path)) == [
        "disk-is-memory",
        "log-file",
    ]


# ---- memory ----


def test_memory():
    before = ["--no-image", "--memory-limit", "4m"]
    report = doctor("fine:app", "-w", "2", before=before)
    assert ids(report) == ["memory-over-limit"]
    measured = report["facts"]["memory"]
    for kind in ("plain", "preload"):
        sizes = measured[kind]["sizes"]
        assert 0 < sizes["1"] < sizes["2"] and measured[kind]["kind"] == "pss"
    assert ids(doctor("fine:app", "-w", "2", before=["--no-image", "--memory-limit", "1g"])) == []


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="needs root")
def test_what_the_container_grants(tmp_path):
    """From files in the cgroup's place."""
    cgroup = tmp_path / "cgroup"
    cgroup.mkdir()
    (cgroup / "memory.max").write_text("5000000\n")
    (cgroup / "cpu.max").write_text("100000 100000\n")
    script = 'mount --bind "$1" /sys/fs/cgroup && shift && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(cgroup), *program()]
    mounts = [*command[:4], 'mount --bind "$1" /sys/fs/cgroup', "sh", str(cgroup)]
    if subprocess.run(mounts, capture_output=True).returncode:
        pytest.skip("no mount namespaces")
    words = ["doctor", "--no-image", "--json", "fine:app", "-w", "4"]
    env = {**dict.fromkeys(PLATFORM), "PYTHONDONTWRITEBYTECODE": None}
    done = run(*words, command=command, cwd=SICK, env=env, timeout=240)
    report = json.loads(done.stdout)
    facts = report["facts"]
    assert (facts["memory_limit_bytes"], facts["cpus"]) == (5_000_000, 1)
    # More than would fit are not tried.
    assert list(facts["memory"]["plain"]["sizes"]) == ["1"]
    assert ids(report) == ["memory-over-limit", "workers-over-cpus"]


def test_a_read_only_root():
    inside = in_read_only_root(SICK)
    if not inside:
        pytest.skip("no right to mount")
    command = [*inside, *program()]
    env = {**dict.fromkeys(PLATFORM), "PYTHONDONTWRITEBYTECODE": "1"}
    words = ["doctor", "--no-image", "--json", "fine:app"]
    done = run(*words, command=command, env=env, timeout=240)
    assert done.returncode in (0, 4), done.stderr + done.stdout
    assert ids(json.loads(done.stdout)) == []


def test_preload_saves():
    report = doctor("large:app", "-w", "3", before=["--no-image"])
    # On a busy machine it takes half a second to fill that much memory.
    assert [one for one in ids(report) if one != "import-work"] == ["preload-saves"]
    assert finding(report, "preload-saves")["severity"] == "advice"
    sizes = report["facts"]["memory"]["plain"]["sizes"]
    assert sizes["2"] - sizes["1"] > 80 << 20
    shared = report["facts"]["memory"]["preload"]["sizes"]
    assert shared["4"] - shared["1"] < 40 << 20


def test_time_on_a_cpu_that_others_have_is_no_work(tmp_path):
    """An import that computes for 0.25 s takes a second beside three others on its CPU."""
    work = "import time as t\nend = t.process_time() + 0.25\nwhile t.process_time() < end: pass\n"
    fine = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return []\n"
    (tmp_path / "busy.py").write_text(work + fine)
    allowed = os.sched_getaffinity(0)
    spin = [sys.executable, "-c", "while True: pass"]
    others = []
    try:
        os.sched_setaffinity(0, {min(allowed)})
        others += [subprocess.Popen(spin) for _ in range(3)]
        report = doctor("busy:app", folder=tmp_path)
    finally:
        os.sched_setaffinity(0, allowed)
        for one in others:
            one.kill()
            one.wait()
    assert ids(report) == []


def test_exit_status():
    from cwsgi._tools._findings import ADVICE, ERROR, WARNING, Finding, exit_status

    error, warning, advice = (Finding("x", one, "", "", "") for one in (ERROR, WARNING, ADVICE))
    assert [exit_status(one) for one in ([], [advice], [advice, warning])] == [0, 0, 4]
    assert exit_status([warning, error, advice]) == 8


# ---- versions ----


def test_end_of_support():
    import datetime

    from cwsgi._tools import _check_app

    frameworks = {"django": "4.2.7", "flask": "3.1", "wagtail": "6.3.1"}
    seen = {"python": [3, 10, 4], "frameworks": frameworks}
    then = datetime.date(2026, 4, 7)
    assert _check_app.old(seen, {"alpine": "3.21.5"}, then) == []
    found = _check_app.old(seen, {"alpine": "3.21.5"}, datetime.date(2026, 11, 2))
    assert [one.id for one in found] == ["eol-python", "eol-django", "eol-wagtail", "eol-system"]
    assert found[3].title == "Alpine 3.21.5: support ended on 2026-11-01"
    (debian,) = _check_app.old(
        {**seen, "frameworks": {}}, {"debian": "11"}, datetime.date(2026, 9, 1)
    )
    assert debian.advice == "go on to a Debian that is supported"
    later = datetime.date(2040, 1, 1)
    unknown = {"python": [3, 99, 0], "frameworks": {"django": "dev"}}
    assert _check_app.old(unknown, {}, later) == []
    assert _check_app.old(unknown, {"debian": ""}, later) == []
    assert _check_app.old(unknown, {"arch": "20261101"}, later) == []


def test_the_system(monkeypatch):
    """What this one says of itself, and one that says nothing."""
    import platform

    from cwsgi._tools import _machine

    (name,) = re.findall(r'^ID="?(\w+)', Path("/etc/os-release").read_text(), re.M)
    assert list(_machine.system()) == [name]

    def none():
        raise OSError

    monkeypatch.setattr(platform, "freedesktop_os_release", none)
    assert _machine.system() == {}


# ---- what it says and to whom ----

SECRETS = {"DATABASE_URL": "postgres://shop:hunter2secret@db/shop", "API_KEY": "sk-1234567890"}


@pytest.mark.parametrize("json_", [["--json"], []])
def test_secrets_are_not_shown(json_):
    done = run("doctor", *json_, "--no-image", "secret:app", env=SECRETS, cwd=SICK)
    assert done.returncode == 8
    text = done.stdout + done.stderr
    assert "not-started" in text and "cannot connect to" in text
    assert "hunter2" not in text and "sk-1234567890" not in text
    assert "[$API_KEY]" in text and "[$DATABASE_URL]" in text


@pytest.mark.parametrize("by", ["--env", "-e", "file", "environ"])
def test_secrets_from_elsewhere(tmp_path, by):
    config = tmp_path / "conf.py"
    if by == "file":
        config.write_text(f"raw_env = {[f'{name}={value}' for name, value in SECRETS.items()]}\n")
    else:
        config.write_text(f"import os\nos.environ.update({SECRETS})\n")
    words = ["-c", config]
    if by.startswith("-"):
        words = [word for name in SECRETS for word in (by, f"{name}={SECRETS[name]}")]
    done = run("doctor", "--no-image", "secret:app", *words, cwd=SICK)
    text = done.stdout + done.stderr
    assert done.returncode == 8 and "RuntimeError: cannot connect to [$DATABASE_URL]" in text
    assert "[$API_KEY]" in text and "hunter2" not in text and "sk-1234567890" not in text


def test_an_app_that_is_not_there():
    report = doctor("nowhere:app")
    assert ids(report) == ["not-started"]
    assert any("nowhere" in line for line in finding(report, "not-started")["details"])


def test_usage():
    assert run("doctor").returncode == 2
    for option, text in (
        ("--serve", "99999"),
        ("--serve", "-1"),
        ("--memory-limit", "inf"),
        ("--memory-limit", "-5m"),
        ("--memory-limit", "nan"),
    ):
        done = run("doctor", f"{option}={text}", "fine:app")
        assert done.returncode == 2 and f"argument {option}: " in done.stderr
    assert run("doctor", "--image", "/nowhere", "fine:app", cwd=SICK).returncode == 1


def test_text():
    env = {**dict.fromkeys(PLATFORM), "PORT": "80"}
    words = ["--no-image", "--no-memory", "sleeps:app", "-b", "0.0.0.0:81"]
    done = run("doctor", *words, env=env, cwd=SICK)
    assert (done.returncode, done.stderr) == (8, "")
    first, second = done.stdout.split("\n\n")[:2]
    assert first.startswith("ERROR port-ignored: ") and "\n  do: " in first
    assert second.startswith("WARNING import-sleep: ") and "\n  costs: " in second
    assert re.search(r"\nfindings: 1 error, [12] warnings?\n$", done.stdout)
    assert "\x1b" not in done.stdout


def test_nothing_stays_behind(tmp_path):
    """Neither processes nor files; what runs afterwards has the app's own environment."""
    before = {"CWSGI_TEST_TAG": tmp_path.name}
    shutil.copytree(SICK, tmp_path / "app")
    doctor("fine:app", "-w", "2", before=["--no-image"], folder=tmp_path / "app", **before)
    left = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            # A server's title stands where its environment was: its folder tells.
            told = Path(f"/proc/{pid}/environ").read_bytes(), os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            continue
        if tmp_path.name.encode() in told[0] or tmp_path.name in told[1]:
            left.append(pid)
    assert left == []


def test_a_read_only_folder_and_no_rights(for_nobody):
    """Nothing is written anywhere, and no rights are needed."""
    env = {**clean_env(for_nobody["env"]), "TMPDIR": "/nowhere", "HOME": "/nowhere"}
    done = subprocess.run(
        [*program(), "doctor", "--json", "--no-image", "-b", "127.0.0.1:1", "hello:app"],
        env=env, user="nobody", cwd=for_nobody["chdir"], capture_output=True, text=True,
        timeout=240,
    )  # fmt: skip
    assert done.returncode in (0, 4, 8), done.stderr
    assert "memory" in json.loads(done.stdout)["facts"]


@pytest.fixture
def tmp_path(open_folder):
    return open_folder


# ---- good apps ----


@pytest.mark.parametrize("name", ["flask", "django", "wagtail", "dash", "fastapi"])
def test_good_apps(name):
    pytest.importorskip(name)
    report = doctor(f"good_{name}:app", before=["--no-image"], folder=GOOD)
    assert ids(report) == []
    assert report["facts"]["start"]["modules"] > 100


# ---- the page ----


@pytest.fixture
def page():
    command = [*program(), "doctor", "--serve", "--no-image", "--no-memory", "sleeps:app"]
    with subprocess.Popen(
        command, env=clean_env(), cwd=SICK, stdout=subprocess.PIPE, text=True
    ) as process:
        yield re.match(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 4


def test_page(page):
    with urllib.request.urlopen(page) as answer:
        text = answer.read().decode()
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert 'id="import-sleep"' in text and "prefers-color-scheme: dark" in text
    assert not re.search(r"(src|href)=", text) and "<script" not in text
    with urllib.request.urlopen(f"{page}report.json") as answer:
        assert ids(json.load(answer)) == ["import-sleep"]
    # A page elsewhere whose name was pointed here.
    request = urllib.request.Request(page, headers={"Host": "evil.example:80"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)


def test_what_is_shown_is_escaped():
    from cwsgi._tools import _page

    report = {
        "app": "<x>",
        "took_s": 1,
        "exit": 0,
        "skipped": [],
        "facts": {"cpus": 1, "memory_limit_bytes": 0, "container": False},
        "findings": [
            dict.fromkeys(("id", "severity", "title", "cost", "advice"), "<b>")
            | {"details": ["<i>"]}
        ],
    }
    text = _page.page(report)
    assert "<x>" not in text and "<i>" not in text and "&lt;b&gt;" in text


# ---- the documentation ----


def test_every_finding_is_documented():
    source = "".join(path.read_text() for path in (ROOT / "python/cwsgi/_tools").glob("*.py"))
    made = set(re.findall(r'Finding\(\s*"([a-z-]+)"', source))
    made |= {"memory-over-limit", "memory-tight"}
    made |= {"eol-python", "eol-django", "eol-wagtail", "eol-system"}
    page = (ROOT / "docs/doctor.md").read_text().partition("## Findings")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", page, re.M)) == made
    assert len(made) > 30 and sys.version_info
