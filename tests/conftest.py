"""Fixtures of the whole suite: `serve` starts a server for a test, `serve_all` for a file."""

import itertools
import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest
import server


class Serving:
    """Starts servers, each in a folder of its own, and ends them all in finish()."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.numbers = itertools.count()
        self.servers = []

    def __call__(self, *args, **kwargs):
        started = None
        folder = self.folder / f"server{next(self.numbers)}"
        before = len(server.LIVE)
        try:
            started = server.Server(folder, *args, **kwargs)
        finally:
            # One that failed to become ready has to be ended as well.
            self.servers += [started] if started else server.LIVE[before:]
        return started

    def finish(self):
        failures = []
        for one in reversed(self.servers):
            try:
                one.finish()
            except server.ServerFailed as failure:
                failures.append(str(failure))
        if failures:
            pytest.fail("\n".join(failures), pytrace=False)


@pytest.fixture
def serve(tmp_path):
    serving = Serving(tmp_path)
    yield serving
    serving.finish()


@pytest.fixture(scope="module")
def serve_all(tmp_path_factory):
    serving = Serving(tmp_path_factory.mktemp("shared"))
    yield serving
    serving.finish()


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def loop(request):
    """The event loops of ASGI apps, where they are installed."""
    pytest.importorskip(request.param)
    return request.param


@pytest.fixture(scope="session", params=["embed", "exec"])
def door(request):
    """Both ways into Python, or the one that the caller's environment asks for."""
    only = os.environ.get("CWSGI_INTERPRETER")
    if only and only != request.param:
        pytest.skip(f"CWSGI_INTERPRETER={only}")
    if request.param == "embed" and not has_shared_library():
        pytest.skip("this CPython has no shared libpython")
    return request.param


def has_shared_library():
    name, folder = sysconfig.get_config_var("INSTSONAME"), sysconfig.get_config_var("LIBDIR")
    return ".so" in name and os.path.exists(os.path.join(folder, name))


@pytest.fixture
def open_folder():
    """A folder that other users can reach, for a file of tests to make its tmp_path.

    pytest keeps its own ones to root, and every session that begins shuts all of them.
    """
    folder = Path(tempfile.mkdtemp(prefix="cwsgi-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def front(tmp_path):
    """Starts a proxy of a kind (fronts.py) in front of a server."""
    running = []

    def start(kind, server, *args):
        running.append(kind(tmp_path / f"front{len(running)}", server, *args))
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture
def for_nobody(tmp_path):
    """Options and variables for a server whose workers are nobody's.

    An interpreter that root alone can reach, as in root's home, is of no use then: these
    tests take the system's, of the same version, and a copy of the package.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    system = Path(f"/usr/bin/python{version}")
    if os.getuid() != 0:
        pytest.skip("needs root")
    if not system.exists():
        pytest.skip(f"the system has no Python {version}")
    package = Path(sysconfig.get_path("platlib")) / "cwsgi"
    shutil.copytree(package, tmp_path / "lib" / "cwsgi")
    apps = shutil.copytree(server.APPS, tmp_path / "apps")
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    return {
        "chdir": apps,
        "env": {
            "CWSGI_PYTHON": system,
            "CWSGI_TEST_DIR": state,
            "PYTHONPATH": tmp_path / "lib",
        },
    }


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for one in server.LIVE:
            report.sections.append(("server", one.report()))
