"""The reader of configuration files, run as the launcher runs it."""

import os
import subprocess
import sys
import textwrap

import pytest
from client import SLOW

READ = "import sys; from cwsgi._config import main; sys.exit(main(int(sys.argv[1]), sys.argv[2]))"


class Answer:
    def __init__(self, status, data, log):
        self.status, self.data, self.log = status, data, log

    @property
    def entries(self):
        assert self.status == 0, self.log
        assert self.data.endswith(b"=\0")  # the mark of the end
        *entries, end, nothing = self.data.decode("utf-8", "surrogateescape").split("\0")
        assert (end, nothing) == ("=", "")
        return entries


def read(spec, cwd, **env):
    """Runs main() and returns what it says to the pipe and to standard error."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe:
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", READ, str(writing), str(spec)],
                cwd=cwd,
                env={**os.environ, **env},
                pass_fds=[writing],
                stderr=subprocess.PIPE,
                text=True,
            )
        finally:
            os.close(writing)
        data = pipe.read()
        _, log = process.communicate(timeout=20 * SLOW)
    return Answer(process.returncode, data, log)


@pytest.fixture
def config(tmp_path):
    """Writes a configuration file and reads it."""

    def write_and_read(source, name="gunicorn.conf.py", **env):
        (tmp_path / name).write_text(textwrap.dedent(source))
        return read(name, tmp_path, **env)

    return write_and_read


def test_plain_values(config):
    answer = config("""
        import pathlib
        bind = "0.0.0.0:80"
        workers = 3
        timeout = 1.5
        graceful_timeout = 30.0
        preload_app = True
        reload = False
        accesslog = None
        proc_name = "Zoë"
        chdir = pathlib.Path("/srv") / "app"
        umask = 0o22
    """)
    assert answer.entries == [
        "bind[=0.0.0.0:80",
        "workers=3",
        "timeout=1.500",
        "graceful_timeout=30.000",
        "preload_app=1",
        "reload=0",
        "proc_name=Zoë",
        "chdir=/srv/app",
        "umask=18",
    ]
    assert answer.log == ""


def test_numbers_are_read_as_gunicorn_reads_them(config):
    answer = config("""
        workers = 5 / 2
        threads = " 4 "
        backlog = "0x10"
        max_requests = "08"
    """)
    assert answer.entries == ["workers=2", "threads=4", "backlog=16", "max_requests=08"]


def test_sequences(config):
    answer = config("""
        bind = ["127.0.0.1:1", "unix:/run/a"]
        raw_env = ("A=1",)
        reload_extra_files = {"b", "a"}
        warmup = []
        forwarded_allow_ips = ["10.0.0.1", "::1"]
        proxy_allow_ips = []
    """)
    assert answer.entries == [
        "bind[=127.0.0.1:1",
        "bind[=unix:/run/a",
        "raw_env[=A=1",
        "reload_extra_files[=a",
        "reload_extra_files[=b",
        "forwarded_allow_ips[=10.0.0.1",
        "forwarded_allow_ips[=::1",
        "proxy_allow_ips=",
    ]


def test_dicts(config):
    answer = config("""
        secure_scheme_headers = {"X-SCHEME": "https", "X-SSL": "on"}
        logconfig_dict = {"version": 1}
        mount = {"/api": "api:app"}
        raw_env = {"KEY": 5}
    """)
    assert answer.entries == [
        "secure_scheme_headers=X-SCHEME=https,X-SSL=on",
        "logconfig_dict=1",
        "mount[=/api=api:app",
        "raw_env[=KEY=5",
    ]
    assert config("logconfig_dict = {}").entries == []


def test_functions_and_classes(config):
    answer = config("""
        from functools import partial
        class Sync: pass
        worker_class = Sync
        def post_fork(server, worker): pass
        on_exit = partial(print, "bye")
        def post_request(worker, req, environ): pass
        pre_fork = None
        wsgi_app = print
    """)
    assert answer.entries == [
        "worker_class=__config__.Sync",
        "post_fork()=",
        "on_exit()=",
        "post_request()=",
        "wsgi_app()=",
    ]


def test_what_is_no_setting_is_passed_over(config):
    answer = config("""
        import os, sys as user, re as reload
        import multiprocessing as metrics
        _private = object()
        cpus = object()
        settings = {"a": 1}
        names = ["a\\nb"]
        class Helper: pass
        version = "1.2"
        help = hooks = ["anything"]
        def warmup(server): pass
        def health(): pass
    """)
    assert answer.entries == []


def test_other_settings_of_gunicorn_are_named_where_they_are_used(config):
    answer = config("""
        import ssl
        worker_tmp_dir = "/dev/shm"
        spew = False
        certfile = "a.pem"
        keyfile = ""
        ssl_version = ssl.PROTOCOL_TLS
        http_protocols = "h1"
        def ssl_context(config, default): pass
        logger_class = "gunicorn.glogging.Logger"
        suppress_ragged_eofs = True
    """)
    assert answer.entries == [
        "worker_tmp_dir=1",
        "spew=0",
        "certfile=1",
        "keyfile=0",
        "ssl_version=0",
        "http_protocols=0",
        "ssl_context=1",
        "logger_class=gunicorn.glogging.Logger",
        "suppress_ragged_eofs=0",
    ]


@pytest.mark.parametrize(
    "text, effects",
    [
        ("import json, logging.config, multiprocessing, os, ssl", False),
        ("import logging\nlogging.getLogger('gunicorn.error').info('hello')", False),
        ("import logging\nlogging.getLogger('gunicorn.access').addFilter(print)", True),
        ("import logging\nlogging.basicConfig(level=10)", True),
        ("import cwsgi.glogging", False),
        ("import os, sys\nsys.path.append(os.getcwd())", False),
        ("import sys\nsys.path.insert(0, '/srv/lib')", True),
        ("import flask", True),
        ("import flask.json", True),
        ("import flask\nflask.Flask('a').test_client()", True),
        ("from flask import Flask as F\ntry:\n    F('a')\nfinally: pass", True),
        ("import flask\ndef post_fork(server, worker): flask.Flask('a')", False),
        ("import os, flask\nos.getcwd()\ndef child_exit(server, worker): flask.g", False),
        ("import flask\nthreads = len(flask.__name__)", False),
    ],
)
def test_whether_workers_have_to_execute_it(config, text, effects):
    assert config(text).entries.count("import()=") == bool(effects)


def test_the_files_own_world(config, tmp_path):
    """Module names, a neighbour's import, annotations, dataclasses and pickling work."""
    (tmp_path / "neighbour.py").write_text("workers = 7\n")
    answer = config("""
        '''About it.'''
        import dataclasses, inspect, os, pickle, sys
        from neighbour import workers

        @dataclasses.dataclass
        class Sizes:
            threads: "int" = 2

        threads = pickle.loads(pickle.dumps(Sizes())).threads
        def find(): pass
        proc_name = f"{__name__} {__doc__} {os.path.basename(__file__)} {__package__!r}"
        chdir = os.getcwd()
        user = len(inspect.getsource(find)) and len(__loader__.get_source(__name__)) > 50
        assert __builtins__ and os.getcwd() in sys.path
    """)
    assert answer.entries == [
        "workers=7",
        "threads=2",
        "proc_name=__config__ About it. gunicorn.conf.py ''",
        f"chdir={tmp_path}",
        "user=1",
    ]
    assert not (tmp_path / "__pycache__" / "gunicorn.conf.cpython").exists()


def test_forms_of_the_name(tmp_path):
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "settings.py").write_text("workers = 2\n")
    (folder / "beside.py").write_text("workers = 3\n")
    (folder / "with_import.py").write_text("from beside import workers\n")
    for spec in ("conf/settings.py", "file:conf/settings.py", folder / "settings.py"):
        assert read(spec, tmp_path).entries == ["workers=2"]
    assert read("conf/with_import.py", tmp_path).entries == ["workers=3"]
    assert read("python:conf.settings", tmp_path).entries == ["workers=2"]


def test_bytes_that_are_no_text(config):
    answer = config(r'errorlog = "/log/\udcff"')
    assert answer.data == b"errorlog=/log/\xff\0=\0"


@pytest.mark.parametrize(
    "source, words",
    [
        ("bind = object()", "TypeError: bind: an object cannot be used here"),
        ("bind = [1, [2]]", "TypeError: bind: a list cannot be used here"),
        ("workers = [1]", "TypeError: workers: a list cannot be used here"),
        ("timeout = {}", "TypeError: timeout: a dict cannot be used here"),
        ("logconfig_dict = [1]", "TypeError: logconfig_dict"),
        ("post_fork = 5", "TypeError: post_fork: a function is needed, not an int"),
        ("def on_exit(): pass", "TypeError: on_exit: the function must take 1 argument"),
        ("def post_request(a): pass", "must take 2 or 3 or 4 arguments"),
        ("raw_env = ['A=1\\n2']", "ValueError: raw_env: a value with a line break"),
        ("proc_name = 'a\\0b'", "ValueError: proc_name: a value with a line break or a NUL"),
        (r"proc_name = '\ud800'", "ValueError: proc_name: the value is not text"),
        ("secure_scheme_headers = {'A': 'b,c'}", "ValueError: secure_scheme_headers: a comma"),
    ],
)
def test_unusable_values(config, source, words):
    answer = config(source)
    assert answer.status == 1
    assert answer.data == b""
    line = answer.log.splitlines()
    assert len(line) == 1, answer.log
    assert line[0].startswith("cwsgi: cannot read the configuration gunicorn.conf.py: ")
    assert words in line[0]


def test_missing_file(tmp_path):
    answer = read("no.py", tmp_path)
    assert answer.status == 1
    assert answer.log.startswith("cwsgi: cannot read the configuration no.py: FileNotFoundError: ")
    assert answer.log.count("\n") == 1


def test_missing_module(tmp_path):
    answer = read("python:no.such", tmp_path)
    assert answer.status == 1
    assert answer.log.startswith("cwsgi: cannot read the configuration python:no.such: ModuleNot")


def test_syntax_error(config):
    answer = config("workers = (1\n")
    assert answer.status == 1
    assert 'gunicorn.conf.py", line 1' in answer.log
    assert "cwsgi: cannot read the configuration gunicorn.conf.py: SyntaxError: " in answer.log
    assert "_config.py" not in answer.log


@pytest.mark.parametrize(
    "failure, words",
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit('no')", "SystemExit: no"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
    ],
)
def test_exception(config, failure, words):
    answer = config(f"def fail():\n    {failure}\nfail()\n")
    assert answer.status == 1
    assert answer.data == b""
    lines = answer.log.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert 'gunicorn.conf.py", line 3, in <module>' in lines[1]
    assert lines[-1] == f"cwsgi: cannot read the configuration gunicorn.conf.py: {words}"
    assert "_config.py" not in answer.log


def test_nothing_needless_is_imported(config, tmp_path):
    """A start with a configuration file stays a quick one."""
    code = "import sys; sys.path[:0] = [%r]; import cwsgi._config as c; before = set(sys.modules)"
    heavy = {"typing", "logging", "inspect", "traceback", "cwsgi._hooks", "cwsgi._core", "re"}
    (tmp_path / "conf.py").write_text("workers = 2\ndef on_exit(server): pass\n")
    import cwsgi

    packages = os.path.dirname(os.path.dirname(cwsgi.__file__))
    done = subprocess.run(
        [
            sys.executable,
            "-ISc",
            f"{code % packages}; c.main(1, 'conf.py'); print(sorted({heavy!r} & set(sys.modules)))",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20 * SLOW,
        check=True,
    )
    assert done.stdout.rpartition("\0")[2].strip() == "[]"


def test_a_file_that_needs_gunicorn_itself(config, tmp_path):
    """Where that is not installed, a line says what else there is."""
    (tmp_path / "gunicorn.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'gunicorn'\", name='gunicorn')\n"
    )
    answer = config("from gunicorn import glogging\n", PYTHONPATH=str(tmp_path))
    assert answer.status == 1
    assert "No module named 'gunicorn'; install gunicorn as well, or" in answer.log
