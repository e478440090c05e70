"""Where settings come from, on running servers; --check-config, --print-config."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from client import wait_for
from ops import titled, wait_workers
from server import APPS, clean_env, program, run, timed

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path):
    """A folder of its own with the test apps in it."""
    path = shutil.copytree(APPS, tmp_path / "apps")
    return path


def write(folder, text, name="gunicorn.conf.py"):
    (folder / name).write_text(textwrap.dedent(text))


def settings(*args, **kwargs):
    """What --print-config says: name -> (value, source)."""
    result = run("--print-config", *args, **kwargs)
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"^(\w+) += (.*)  # (.*)$", result.stdout, re.M)
    return {name: (value, source) for name, value, source in rows}


def test_config_file_is_found(folder):
    write(folder, "import os\nthreads = len('abc')\nworkers = int(os.environ['N'])\n")
    found = settings("hello:app", cwd=folder, env={"N": "3"})
    assert found["threads"] == ("3", "configuration file")
    assert found["workers"] == ("3", "configuration file")
    assert found["timeout"] == ("0", "default")


def test_cwsgis_own_name_comes_first(folder):
    write(folder, "threads = 3\n")
    write(folder, "threads = 5\n", "cwsgi.conf.py")
    assert settings("hello:app", cwd=folder)["threads"][0] == "5"
    assert settings("-c", "gunicorn.conf.py", "hello:app", cwd=folder)["threads"][0] == "3"
    assert settings("-c", "file:gunicorn.conf.py", "hello:app", cwd=folder)["threads"][0] == "3"


def test_config_from_a_module(folder):
    write(folder, "threads = 7\n", "settings_module.py")
    found = settings("-c", "python:settings_module", "hello:app", cwd=folder)
    assert found["threads"] == ("7", "configuration file")


def test_precedence(folder):
    write(folder, "threads = 2\nworkers = 2\nkeepalive = 2\nbacklog = 2\n")
    env = {"GUNICORN_CMD_ARGS": "--threads 3 --keep-alive 3", "WEB_CONCURRENCY": "9"}
    found = settings("--threads", "4", "hello:app", cwd=folder, env=env)
    assert found["threads"] == ("4", "command line")
    assert found["keepalive"] == ("3", "environment: GUNICORN_CMD_ARGS")
    assert found["workers"] == ("2", "configuration file")
    assert found["backlog"] == ("2", "configuration file")
    (folder / "gunicorn.conf.py").unlink()
    assert settings("hello:app", cwd=folder, env=env)["workers"] == (
        "9",
        "environment: WEB_CONCURRENCY",
    )


def test_the_variable_is_named(folder):
    found = settings("hello:app", cwd=folder, env={"PORT": "5001", "K_SERVICE": "x"})
    assert found["bind"] == ("0.0.0.0:5001", "environment: PORT")
    assert found["graceful_timeout"] == ("9", "environment: K_SERVICE")
    result = run("hello:app", cwd=folder, env={"FORWARDED_ALLOW_IPS": "10.0.0.300"})
    assert result.returncode == 1
    assert "environment variable FORWARDED_ALLOW_IPS: '10.0.0.300' is no" in result.stderr
    result = run("--forwarded-allow-ips", "x", "hello:app", cwd=folder)
    assert "--forwarded-allow-ips: 'x' is no address" in result.stderr


def test_first_and_last_line(serve):
    server = serve("hello:app", "--keep-alive", "3", "--log-level", "debug", threads=2)
    log = server.log()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"(Python {version}, 1 worker x 2 threads)" in log.splitlines()[0]
    assert re.search(r"\[DEBUG\] setting: keepalive += 3  # command line", log)
    assert re.search(r"\[DEBUG\] interpreter: /.*python", log)
    assert "[DEBUG] sys.path: ['" in log and "[DEBUG] sys.version: 3." in log
    assert server.stop() == 0
    assert server.log().splitlines()[-1].endswith("[INFO] cwsgi has stopped")


def test_own_cmd_args_hide_gunicorns(folder):
    env = {"CWSGI_CMD_ARGS": "--threads=5", "GUNICORN_CMD_ARGS": "--threads=6"}
    assert settings("hello:app", cwd=folder, env=env)["threads"] == (
        "5",
        "environment: CWSGI_CMD_ARGS",
    )


def test_the_app_may_stand_in_the_file(folder, serve):
    write(folder, "wsgi_app = 'ops:app'\nbind = ['127.0.0.1:0']\nraw_env = ['FOO=bar']\n")
    assert settings(cwd=folder)["wsgi_app"][0] == "ops:app"
    assert settings("hello:app", cwd=folder)["wsgi_app"] == ("hello:app", "command line")
    server = serve(None, "-c", folder / "gunicorn.conf.py", chdir=folder)
    assert server.get("/who").status == 200


@pytest.mark.parametrize(
    "text, said",
    [
        ("threads = 'many'\n", "threads: 'many' is not a whole number"),
        ("syntax error\n", "SyntaxError"),
        ("raise ValueError('mine')\n", "ValueError: mine"),
        ("import no_such_module_at_all\n", "no_such_module_at_all"),
        ("keyfile = 'key.pem'\n", "keyfile cannot be used: TLS"),
        ("worker_class = 'gevent'\n", "gevent"),
        ("def logger_class(): pass\n", "logger_class: a function"),
        ("import os\nos._exit(0)\n", "it ends the process that reads it"),
        ("raise SystemExit(0)\n", "SystemExit"),
    ],
)
def test_broken_files(folder, text, said):
    write(folder, text)
    result = run("--check-config", "hello:app", cwd=folder)
    assert result.returncode == 1
    assert said in result.stderr
    assert run("-b", "127.0.0.1:0", "hello:app", cwd=folder).returncode == 1


def test_a_file_that_leaves_a_process_behind(folder):
    """It holds the pipe; the settings are known all the same."""
    write(
        folder,
        """
        import subprocess

        quiet = subprocess.DEVNULL
        subprocess.Popen(["sleep", "20"], close_fds=False, stdout=quiet, stderr=quiet)
        threads = 3
        """,
    )
    found, seconds = timed(settings, "hello:app", cwd=folder)
    assert found["threads"][0] == "3"
    assert seconds < 15


def test_missing_file(folder):
    result = run("-c", "nowhere.py", "hello:app", cwd=folder)
    assert result.returncode == 1
    assert "nowhere.py" in result.stderr


@pytest.mark.parametrize("app, code", [("hello:app", 0), ("hello:no", 1), ("none:app", 1)])
def test_check_config(folder, app, code):
    result = run("--check-config", app, cwd=folder)
    assert result.returncode == code
    assert bool(result.stderr) == bool(code)


def test_hup_reads_the_file_again(folder, serve):
    write(folder, "workers = 1\n")
    server = serve("ops:app", "-c", folder / "gunicorn.conf.py", workers=None, chdir=folder)
    (old,) = wait_workers(server, 1)
    write(folder, "workers = 3\n")
    server.send_signal(signal.SIGHUP)
    wait_workers(server, 3, without=[old])
    write(folder, "workers = nonsense\n")
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reload failed: the settings cannot be used")
    assert "NameError" in server.log()
    assert len(titled(server, "worker")) == 3
    assert server.get("/who").status == 200


def test_hup_takes_a_new_address(folder, serve):
    """The new port opens before the old one closes."""
    from server import Port

    first, second = Port(), Port()
    write(folder, f"bind = '{first}'\n")
    server = serve(
        "ops:app",
        "-c",
        folder / "gunicorn.conf.py",
        chdir=folder,
        binds=[first],
        bind_options=False,
    )
    write(folder, f"bind = '{second}'\n")
    server.send_signal(signal.SIGHUP)
    wait_for(lambda: not second.refuses(), "the new port")
    wait_for(first.refuses, "the old port to close")
    server.binds.append(second)
    with server.connect(1) as client:
        assert client.ask("/who").status == 200


def gunicorn_lines():
    """Command lines of gunicorn's own documentation, with the word changed."""
    return [
        "--bind :{port} --workers 1 --threads 8 --timeout 0 hello:app",
        "hello:app",
        "-w 2 hello:app",
        "-b 127.0.0.1:{port} -w 2 hello:app",
        "--workers=2 --worker-class=gthread --threads=4 hello:app",
        "-k sync --timeout 30 --graceful-timeout 30 --keep-alive 5 hello:app",
        "--bind=127.0.0.1:{port} --access-logfile - --error-logfile - --log-level debug hello:app",
        "--max-requests 1000 --max-requests-jitter 50 --preload hello:app",
        "--worker-tmp-dir /dev/shm --limit-request-line 4094 --limit-request-fields 100 "
        "--limit-request-field_size 8190 hello:app",
        "--forwarded-allow-ips=* --proxy-protocol hello:app",
        "--capture-output --enable-stdio-inheritance --no-sendfile -R hello:app",
        "--env FOO=1 -e BAR=2 --umask 007 --name shop --reuse-port --backlog 64 hello:app",
        "--log-file=- --statsd-host=127.0.0.1:8125 --statsd-prefix=service hello:app",
    ]


@pytest.mark.parametrize("line", gunicorn_lines())
def test_gunicorns_command_lines(serve, line):
    from server import Port

    port = Port()
    words = line.format(port=port.number).split()
    own_port = "{port}" in line
    server = serve(
        None,
        *words,
        workers=None,
        threads=None,
        binds=[port],
        bind_options=False,
        env=None if own_port else {"PORT": port.number},
    )
    if "--proxy-protocol" in words:
        with server.connect() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.response().status == 200
    else:
        assert server.get("/").body == b"Hello, World!\n"


def test_what_has_no_meaning_is_accepted_with_a_notice(serve):
    server = serve("hello:app", "-k", "gthread", "--worker-tmp-dir", "/dev/shm")
    assert server.log().count("--worker-class gthread has no effect") == 1
    assert server.log().count("--worker-tmp-dir has no effect") == 1


def test_websocket_settings_by_uvicorns_names(folder):
    write(folder, "ws_per_message_deflate = False\nws_max_queue = 5\n")
    options = ["--ws-max-size", "1m", "--ws-ping-interval", "0.5", "--ws-ping-timeout", "0"]
    found = settings(*options, "hello:app", cwd=folder)
    assert found["ws_max_size"] == ("1048576", "command line")
    assert found["ws_ping_interval"] == ("0.500", "command line")
    assert found["ws_ping_timeout"] == ("0", "command line")
    assert found["ws_max_queue"] == ("5", "configuration file")
    assert found["ws_per_message_deflate"] == ("0", "configuration file")


def test_reference_page_is_up_to_date():
    """docs/settings.md is what --help-markdown prints."""
    page = run("--help-markdown").stdout
    assert (ROOT / "docs" / "settings.md").read_text() == page, "make docs"


def table():
    """Name and flags of every option, from the one table."""
    text = (ROOT / "csrc/base/options_table.h").read_text()
    rows = re.findall(r'CW_OPTION\(\s*(\w+),\s*"(\w+)",\s*"([^"]*)"', text)
    assert len(rows) == text.count("\nCW_OPTION(")
    return rows


# The two that only configuration files fill in have no entry of their own.
NAMED = [name for _, name, _ in table() if name not in ("hooks", "environ")]


@pytest.mark.parametrize("name", NAMED)
def test_every_option_is_documented_and_tested(name):
    page = (ROOT / "docs" / "settings.md").read_text()
    flags = next(flags for _, other, flags in table() if other == name)
    if name not in ("help_markdown", "help_man"):
        assert f"\n### {name}\n" in page
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    spellings = [name, *flags.split()]
    assert any(re.search(rf"{re.escape(word)}\b", tests) for word in spellings), name


def peers():
    """Flag, servers and our word for it, from the one table."""
    text = (ROOT / "csrc/base/options_foreign.h").read_text()
    rows = re.findall(r'CW_PEER\(((?:[^"()]|"[^"]*")*)\)', text.partition("#ifdef CW_PEER")[2])
    found = [re.findall(r'"([^"]*)"', row.replace('"\n', '"')) for row in rows]
    return [(row[0], row[1], "".join(row[2:])) for row in found]


@pytest.mark.parametrize("flag, servers, ours", peers(), ids=lambda value: value.split()[0])
def test_options_of_other_servers(flag, servers, ours):
    result = run(flag, "1", "main:app")
    assert result.returncode == 2
    names = re.sub(r", (\w+)$", r" and \1", servers.replace(" ", ", "))
    assert result.stderr == f"cwsgi: {flag} is an option of {names}: here that is {ours}\n"
    # What is named there must be had.
    known = {word for _, _, flags in table() for word in flags.split()}
    assert set(re.findall(r"--[a-z-]+", ours)) <= known


def test_what_migration_pages_say_of_options_is_in_the_table():
    """The first column of each table names the other server's options."""
    ours = {word for _, _, flags in table() for word in flags.split()}
    foreign = (ROOT / "csrc/base/options_foreign.h").read_text()
    known = ours | {flag for flag, _, _ in peers()} | set(re.findall(r"--[a-z-]+", foreign))
    for page in ("from-uvicorn.md", "from-waitress.md"):
        rows = re.findall(r"^\|([^|]*)\|", (ROOT / "docs" / page).read_text(), re.M)
        named = set(re.findall(r"--[a-z0-9-]+[a-z0-9](?![*a-z0-9-])", " ".join(rows)))
        assert named <= known, page


def test_waitress_listens_otherwise():
    result = run("--listen=*:8080", "main:app")
    assert "is here --bind HOST:PORT" in result.stderr


def test_unknown_option_suggests_the_nearest():
    result = run("--wrokers", "2", "hello:app")
    assert result.returncode == 2
    assert "did you mean '--workers'" in result.stderr


@pytest.mark.parametrize(
    "options, said, code",
    [
        (["-k", "gevent"], "gevent cannot be used", 1),
        (["-k", "tornado"], "tornado cannot be used", 1),
        (["-k", "my.Worker"], "is not sync, gthread or asgi", 1),
        (["--keyfile", "x"], "TLS", 2),
        (["--certfile", "x"], "TLS", 2),
        (["--spew"], "--spew cannot be used", 2),
        (["--paste", "x.ini"], "--paste cannot be used", 2),
        (["--permit-obsolete-folding"], "parsed strictly", 2),
        (["--strip-header-spaces"], "parsed strictly", 2),
        (["--permit-unconventional-http-method"], "parsed strictly", 2),
        (["--permit-unconventional-http-version"], "parsed strictly", 2),
        (["--casefold-http-method"], "parsed strictly", 2),
        (["--protocol", "uwsgi"], "--protocol cannot be used", 2),
        (["--http-protocols", "h2"], "--http-protocols cannot be used", 2),
        (["--dirty-workers", "1"], "dirty", 2),
        (["--http-parser", "python"], "llhttp", 2),
        (["--listen", "soon"], "--listen", 1),
        (["--reload-engine", "x"], "--reload-engine", 1),
        (["--warmup", "x"], "--warmup", 1),
        (["--health", "x"], "--health", 1),
        (["--metrics", "x"], "--metrics", 1),
        (["--statsd-host", "x:y"], "--statsd-host", 1),
        (["--log-syslog-facility", "x"], "facility", 1),
        (["--access-logformat", "%(nope)s"], "nope", 1),
        (["--workers", "100000"], "--workers", 1),
        (["--ws-per-message-deflate", "yes"], "off, on or context", 1),
        (["--ws-max-queue", "0"], "--ws-max-queue", 1),
    ],
)
def test_what_cannot_be_had_is_named(options, said, code):
    result = run(*options, "hello:app")
    assert result.returncode == code
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("level", ["warn", "WARN", "Warning", "notset", "trace", "fatal"])
def test_levels_by_other_names(serve, level):
    server = serve("hello:app", "--log-level", level)
    assert ("Starting cwsgi" in server.log()) == (level in ("notset", "trace"))
    assert server.get("/").status == 200


def test_gunicorns_defaults_may_be_spelled_out(folder):
    """A configuration that was written from the list of all settings."""
    write(
        folder,
        """
        import ssl

        uwsgi_allow_ips = "127.0.0.1,::1"
        websocket_max_message_size = 16777216
        control_socket = "/root/.gunicorn/gunicorn.ctl"
        control_socket_mode = 0o600
        ssl_version = ssl.PROTOCOL_TLS
        ciphers = None
        cert_reqs = 0
        logger_class = "gunicorn.glogging.Logger"
        http_protocols = "h1"
        asgi_loop = "auto"
        dirty_timeout = 300
        loglevel = "warn"
        chdir = ""
        threads = 0
        raw_env = ["A", "B=1"]

        def post_fork(server, worker):
            assert server.cfg.env == {"B": "1"}
        """,
    )
    result = run("--check-config", "hello:app", cwd=folder, env={"A": "kept"})
    assert (result.returncode, result.stderr) == (0, "")
    found = settings("hello:app", cwd=folder)
    assert found["threads"][0] == "1"
    assert found["chdir"][0] == str(folder)


@pytest.mark.parametrize(
    "words",
    [
        "--uwsgi-allow-from 127.0.0.1,::1",
        "--websocket-max-message-size 16777216",
        "--control-socket=/run/user/0/gunicorn.ctl --control-socket-mode 384",
        "--ssl-version 2 --cert-reqs 0 --ciphers TLSv1",
        "--logger-class gunicorn.glogging.Logger",
        "--asgi-loop auto --asgi-lifespan auto --http-parser auto --protocol http",
        "--dirty-workers 0 --http2-max-concurrent-streams 100 --root-path=",
        "--chdir= --threads 0 -e A",
    ],
)
def test_gunicorns_defaults_on_the_command_line(folder, words):
    result = run("--check-config", *words.split(), "hello:app", cwd=folder)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_variable_without_a_value_stays(serve):
    server = serve("edges:app", "-e", "KEPT", "-e", "SET=1", env={"KEPT": "x"})
    seen = json.loads(server.get("/environ").body)
    assert (seen["KEPT"], seen["SET"]) == ("x", "1")


def test_help_is_grouped_and_complete():
    text = run("--help").stdout
    for _, name, flags in table():
        if name not in ("help_markdown", "help_man"):
            assert all(flag in text for flag in flags.split()), name
    for group in ("Socket", "Processes", "HTTP", "Logging", "Metrics", "Identity"):
        assert f"\n{group}:\n" in text
    assert max(map(len, text.splitlines())) <= 80


def test_help_tells_more_than_options():
    text = run("--help").stdout
    for part in ("Examples", "Exit codes", "Signals", "Environment"):
        assert f"\n{part}:\n" in text
    assert "docs/settings.md" in text and "GUNICORN_CMD_ARGS" in text
    assert run("help").stdout == text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("columns, longest", [(40, 60), (100, 100), (300, 120)])
def test_help_has_the_terminals_width(columns, longest):
    import fcntl
    import pty
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([*program(), "--help"], stdout=slave)
    os.close(slave)
    data = b""
    try:
        while part := os.read(master, 1 << 16):
            data += part
    except OSError:  # The other end is closed.
        pass
    os.close(master)
    assert process.wait(20) == 0
    # Flags are not broken; what is said of them is.
    widest = max(len(line) for line in data.decode().splitlines() if line.startswith(" " * 26))
    assert longest - 15 <= widest <= longest


def test_wrong_usage_alone_ends_with_2(folder):
    for words in (["--nope"], ["-w"], ["-w", "x"], ["a:b", "c:d"], ["--completion", "x"]):
        assert run(*words, cwd=folder).returncode == 2
    assert run("hello:app", env={"WEB_CONCURRENCY": "x"}, cwd=folder).returncode == 1
    write(folder, "workers = 'x'\n")
    assert run("hello:app", cwd=folder).returncode == 1


def test_manual_page():
    page = run("--help-man").stdout
    for title in ("NAME", "SYNOPSIS", "OPTIONS", "EXIT CODES", "SIGNALS", "ENVIRONMENT"):
        assert f".SH {title}\n" in page
    for _, name, flags in table():
        if name not in ("help_markdown", "help_man"):
            for flag in flags.split():
                assert f"\\fB{flag}\\fR".replace("-", "\\-") in page
    if shutil.which("man"):
        shown = subprocess.run(
            ["man", "--warnings", "-l", "-"],
            input=page,
            capture_output=True,
            text=True,
            timeout=60,
            # Without a sanitizer's runtime, which finds faults in troff.
            env={key: value for key, value in os.environ.items() if key != "LD_PRELOAD"},
        )
        assert shown.returncode == 0 and "warning" not in shown.stderr, shown.stderr


def completes(shell, script, line):
    """What a shell offers at the end of `line`."""
    if not shutil.which(shell):
        pytest.skip(f"no {shell}")
    if shell == "bash":
        words = line.split(" ")
        lines = f"{script}\nCOMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1}"
        code = f'{lines}\n_cwsgi; printf "%s\\n" "${{COMPREPLY[@]}}"'
        command = ["bash", "--norc", "-c", code]
    else:
        command = ["fish", "-N", "-c", f"{script}\ncomplete -C '{line}'"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return {word.split("\t")[0] for word in done.stdout.splitlines() if word}


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_completion(shell):
    script = run("--completion", shell).stdout
    assert completes(shell, script, "cwsgi --log-sy") == {
        word for _, _, flags in table() for word in flags.split() if word.startswith("--log-sy")
    }
    assert completes(shell, script, "cwsgi --completion f") == {"fish"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_parse(shell, tmp_path):
    script = run("--completion", shell).stdout
    for _, _, flags in table():
        for flag in flags.split():
            assert flag.lstrip("-") in script
    if not shutil.which(shell):
        pytest.skip(f"no {shell}")
    (tmp_path / "script").write_text(script)
    assert subprocess.run([shell, "-n", tmp_path / "script"], timeout=60).returncode == 0


def test_relative_paths_count_from_chdir(serve, folder):
    """As with gunicorn, which changes folder first."""
    env = clean_env({"CWSGI_TEST_DIR": folder})
    command = [*program(), "-b", "unix:here.sock", "-p", "here.pid", "--error-logfile", "e.log"]
    process = subprocess.Popen(
        [*command, "--chdir", folder.name, "hello:app"], cwd=folder.parent, env=env
    )
    try:
        wait_for((folder / "here.sock").exists, "the socket")
        wait_for((folder / "e.log").exists, "the log")
        wait_for(lambda: "Listening at" in (folder / "e.log").read_text(), "the log's line")
        assert int((folder / "here.pid").read_text()) == process.pid
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "Reloaded" in (folder / "e.log").read_text(), "the reload")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert not (folder / "here.sock").exists()
    assert os.listdir(folder.parent) == [folder.name]
