"""What the app's logging gets: gunicorn's loggers, and the log configuration."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from client import SLOW

TIME = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\]"


@pytest.fixture
def run(tmp_path):
    """Runs a program and returns its output; logging is shared by all of a process."""

    def start(source):
        # As installed: compiled.
        env = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path / "compiled")}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(source)],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=20 * SLOW,
        )
        assert done.returncode == 0, done.stderr
        return done

    return start


INSTALL = """
import sys
for name in [name for name in sys.modules if name.partition(".")[0] == "logging"]:
    del sys.modules[name]
before = list(sys.meta_path)
from cwsgi._gunicorn_loggers import install_lazy
install_lazy("warning")
assert "logging" not in sys.modules
"""
CHECK = """
import logging
assert sys.meta_path == before
error = logging.getLogger("gunicorn.error")
(handler,) = error.handlers
assert type(handler) is logging.StreamHandler and handler.stream is sys.stderr
assert error.level == logging.WARNING and error.propagate is False
assert logging.getLogger("cwsgi.error").handlers == [handler]
assert logging.getLogger("gunicorn.access").handlers == []
assert logging.root.handlers == []
error.info("not written")
error.warning("hello %s", "you")
"""


def test_first_import_of_logging(run):
    log = run(INSTALL + CHECK).stderr
    assert log.count("\n") == 1 and log.endswith("] [WARNING] hello you\n")


def test_form_of_the_lines(run):
    import re

    assert re.fullmatch(rf"{TIME} \[\d+\] \[WARNING\] hello you\n", run(INSTALL + CHECK).stderr)


def test_import_of_a_part(run):
    run(INSTALL + "import logging.handlers" + CHECK)


def test_logging_is_itself(run):
    """The module shows no trace of having been waited for."""
    run(
        INSTALL
        + "import importlib.util\n"
        + "assert importlib.util.find_spec('logging').name == 'logging'\n"
        + "assert sys.meta_path != before\n"
        + CHECK
        + "assert logging.__spec__.loader is logging.__loader__\n"
        + "assert 'exec_module' not in vars(logging.__loader__)\n"
        + "assert logging.__loader__.get_source('logging')\n"
    )


def test_logging_is_imported_already(run):
    run(
        "import logging\n"
        + INSTALL.replace("del sys.modules[name]", "pass").replace("not in", "in")
        + CHECK
    )


def test_other_imports_go_their_way(run):
    run(
        INSTALL
        + "import decimal, json\ntry:\n    import no_such_module\nexcept ImportError: pass\n"
        + CHECK
    )


def test_logging_from_a_zip_file(run, tmp_path):
    """One loader for all modules, as in applications that are packed."""
    import logging
    import shutil

    package = os.path.dirname(logging.__file__)
    folder = tmp_path / "lib"
    shutil.copytree(package, folder / "logging", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "packed.py").write_text("value = 1\n")
    shutil.make_archive(str(tmp_path / "lib"), "zip", folder)
    run(
        INSTALL
        + f"sys.path.insert(0, {str(tmp_path / 'lib.zip')!r})\n"
        + CHECK
        + "import packed\n"
        + "assert logging.__file__.startswith(sys.path[0]) and packed.value == 1\n"
    )


def test_error_log_in_a_file(run, tmp_path):
    run(
        """
        import os
        from cwsgi import _gunicorn_loggers
        _gunicorn_loggers.install_lazy("info", "app.log")
        import logging
        assert not os.path.exists("app.log")
        logger = logging.getLogger("gunicorn.error")
        logger.info("one")
        os.rename("app.log", "app.log.1")
        logger.info("two")
        """
    )
    assert (tmp_path / "app.log.1").read_text().endswith("] [INFO] one\n")
    assert (tmp_path / "app.log").read_text().endswith("] [INFO] two\n")


def test_cost_at_start(run):
    """It is paid by every start, so it imports nothing and does next to nothing."""
    source = """
        import cwsgi, sys, time
        before = set(sys.modules)
        began = time.perf_counter()
        from cwsgi._gunicorn_loggers import install_lazy
        install_lazy("info")
        print(time.perf_counter() - began)
        assert set(sys.modules) - before == {"cwsgi._gunicorn_loggers"}
    """
    assert min(float(run(source).stdout) for _ in range(5)) < 0.0003 * SLOW


# ---- --log-config and its kin ----

CONFIGURE = """
from cwsgi._log_config import configure
assert configure({entries!r}) is True
import logging
logging.getLogger("mine").info("of the app")
logging.getLogger("gunicorn.error").info("of the server")
"""
NOTICE = "applies to the app's logging; cwsgi's own lines keep their form\n"


def configured(run, *entries):
    return run(CONFIGURE.format(entries=list(entries)))


def test_ini_file(run, tmp_path):
    (tmp_path / "log.ini").write_text(
        textwrap.dedent("""
        [loggers]
        keys=root,server
        [handlers]
        keys=out
        [formatters]
        keys=short
        [logger_root]
        level=INFO
        handlers=out
        [logger_server]
        qualname=gunicorn.error
        propagate=1
        handlers=
        [handler_out]
        class=FileHandler
        formatter=short
        args=("%(here)s/out.log",)
        [formatter_short]
        format=%(name)s: %(message)s
        """)
    )
    done = configured(run, f"logconfig={tmp_path}/log.ini")
    assert (tmp_path / "out.log").read_text() == "mine: of the app\ngunicorn.error: of the server\n"
    assert done.stderr.endswith(f"[INFO] logconfig {NOTICE}")


def test_json_file(run, tmp_path):
    config = {
        "formatters": {"generic": {"format": "%(name)s! %(message)s"}},
    }
    (tmp_path / "log.json").write_text(json.dumps(config))
    done = configured(run, "logconfig_json=log.json")
    # Root's handler writes to standard output; gunicorn.error has one and propagates.
    assert done.stdout == "mine! of the app\ngunicorn.error! of the server\n"
    assert f"[INFO] logconfig_json {NOTICE}" in done.stderr
    assert done.stderr.endswith("gunicorn.error! of the server\n")


def test_dict(run, tmp_path):
    (tmp_path / "conf.py").write_text(
        textwrap.dedent("""
        logconfig_dict = {
            "loggers": {"mine": {"level": "INFO", "handlers": ["error_console"]}},
            "root": {"level": "ERROR", "handlers": []},
        }
        """)
    )
    done = configured(run, "logconfig_dict=1", "logconfig_json=not.there", "config=conf.py")
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].endswith("[INFO] logconfig_dict " + NOTICE.strip())
    # "loggers" of the file takes the place of gunicorn's own: that logger keeps what it had.
    assert lines[1].endswith("[INFO] of the app")
    assert lines[2].endswith("[INFO] of the server")
    assert len(lines) == 3


def test_nothing_set(run):
    run("from cwsgi._log_config import configure\nassert configure(['workers=1']) is False\n")


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("logconfig", None, "logconfig f cannot be used: there is no such file"),
        ("logconfig_json", None, "logconfig_json f cannot be used: "),
        ("logconfig_json", "{", "logconfig_json f cannot be used: "),
        ("logconfig_json", "[]", "logconfig_json f cannot be used: it is not an object"),
        (
            "logconfig_json",
            '{"handlers": {"console": {"class": "no.Such"}}}',
            "Unable to configure handler 'console': ",
        ),
    ],
)
def test_unusable_files(run, tmp_path, name, content, words):
    if content is not None:
        (tmp_path / "f").write_text(content)
    done = run(
        f"""
        from cwsgi._log_config import configure
        try:
            configure(["{name}=f"])
        except ValueError as error:
            print(error)
        """
    )
    assert words in done.stdout
