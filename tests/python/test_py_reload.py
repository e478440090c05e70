"""Noticing that a file has changed, with both engines."""

import importlib
import os
import queue
import sys

import pytest
from client import SLOW, wait_for
from cwsgi import _reload

LIMIT = 15 * SLOW


@pytest.fixture(params=["inotify", "poll"])
def engine(request):
    return request.param


@pytest.fixture
def app(tmp_path, monkeypatch):
    """The file of an imported module."""
    folder = tmp_path / "code"
    folder.mkdir()
    path = folder / "watched_module.py"
    path.write_text("value = 1\n")
    monkeypatch.syspath_prepend(str(folder))
    importlib.import_module("watched_module")
    yield path
    for name in ("watched_module", "later_module"):
        sys.modules.pop(name, None)


@pytest.fixture
def watch(engine, monkeypatch):
    """Starts a watcher; its queue gets the path it calls back with."""
    watchers = []
    monkeypatch.setattr(_reload, "PERIOD", 0.2)
    monkeypatch.setattr(_reload, "GONE", 0.3)

    def start(*extra):
        changes = queue.Queue()
        watcher = _reload.start(engine, [str(path) for path in extra], changes.put)
        watchers.append(watcher)
        watcher.changes = changes
        return watcher

    yield start
    for watcher in watchers:
        watcher.stop()
        watcher.join(LIMIT)
        assert not watcher.is_alive()


def changed(watcher):
    path = watcher.changes.get(timeout=LIMIT)
    watcher.stop()
    watcher.join(LIMIT)
    assert watcher.changes.empty()
    return path


def test_write_in_place(watch, app):
    watcher = watch()
    app.write_text("value = 22\n")
    assert changed(watcher) == str(app)


def test_rename_over(watch, app):
    """How many editors save."""
    watcher = watch()
    temporary = app.with_name("watched_module.py~")
    temporary.write_text("value = 1\n")
    os.utime(temporary, ns=(1, app.stat().st_mtime_ns))
    os.replace(temporary, app)
    assert changed(watcher) == str(app)


def test_move_away_and_write_anew(watch, app):
    """How others do."""
    watcher = watch()
    app.rename(app.with_suffix(".bak"))
    app.write_text("value = 1\n")
    assert changed(watcher) == str(app)
    assert app.exists()


def test_touch(watch, app):
    watcher = watch()
    os.utime(app)
    assert changed(watcher) == str(app)


def test_removal(watch, app):
    watcher = watch()
    app.unlink()
    assert changed(watcher) == str(app)


def test_half_written_file_is_waited_for(watch, app, monkeypatch):
    """The call comes when the file has come to rest."""
    sizes = []
    writes = iter(range(3))

    def sleep(seconds, sleep=_reload.sleep):
        # Called between two looks at the changed file: it is written to meanwhile.
        if seconds == _reload.SETTLED and next(writes, None) is not None:
            with open(app, "a") as file:
                file.write("# more\n")
            sizes.append(app.stat().st_size)
        sleep(seconds)

    monkeypatch.setattr(_reload, "sleep", sleep)
    watcher = watch()
    app.write_text("value = 333\n")
    assert changed(watcher) == str(app)
    assert len(sizes) == 3 and app.stat().st_size == sizes[-1]


def test_module_that_is_imported_later(watch, app):
    watcher = watch()
    later = app.with_name("later_module.py")
    later.write_text("value = 1\n")
    importlib.invalidate_caches()
    importlib.import_module("later_module")
    wait_for(lambda: str(later) in watcher.known, "the module to be known", LIMIT)
    later.write_text("value = 22\n")
    assert changed(watcher) == str(later)


def test_other_files_do_not_count(watch, app):
    watcher = watch()
    (app.parent / "notes.txt").write_text("x")
    os.chmod(app, 0o600)
    app.write_text("value = 22\n")
    assert changed(watcher) == str(app)


def test_extra_file(watch, app, tmp_path):
    extra = tmp_path / "settings.ini"
    extra.write_text("a")
    watcher = watch(extra)
    extra.write_text("bb")
    assert changed(watcher) == str(extra)


def test_extra_file_that_is_made_later(watch, app, tmp_path):
    extra = tmp_path / "later.ini"
    watcher = watch(extra)
    extra.write_text("a")
    assert changed(watcher) == str(extra)


def test_extra_folder(watch, app, tmp_path):
    folder = tmp_path / "templates"
    (folder / "deep" / "__pycache__").mkdir(parents=True)
    page = folder / "deep" / "page.html"
    page.write_text("a")
    (folder / "deep" / "__pycache__" / "x.pyc").write_text("a")
    watcher = watch(folder)
    (folder / "deep" / "__pycache__" / "x.pyc").write_text("bb")
    page.write_text("bb")
    assert changed(watcher) == str(page)


def test_folder_that_comes_back(watch, app):
    """As when another branch is checked out."""
    watcher = watch()
    folder = app.parent
    folder.rename(folder.with_name("elsewhere"))
    folder.mkdir()
    app.write_text("value = 22\n")
    assert changed(watcher) == str(app)


@pytest.mark.parametrize("engine", ["auto", "inotify"])
def test_polling_where_inotify_is_refused(watch, app, monkeypatch, capfd, engine):
    def refuse(self):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(_reload.Inotify, "__init__", refuse)
    watcher = watch()
    assert watcher.inotify is None
    log = capfd.readouterr().err
    assert log.count("\n") == 1 and "[INFO] reload: inotify cannot be used (" in log
    app.write_text("value = 22\n")
    assert changed(watcher) == str(app)


@pytest.mark.parametrize("engine", ["auto"])
def test_polling_where_there_are_too_many_watches(watch, app, monkeypatch, capfd, engine):
    def refuse(self, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_reload.Inotify, "watch", refuse)
    watcher = watch()
    assert watcher.inotify is None
    assert capfd.readouterr().err.count("reload: inotify cannot be used") == 1
    app.write_text("value = 22\n")
    assert changed(watcher) == str(app)


@pytest.mark.parametrize("engine", ["inotify"])
def test_lost_events(watch, app, monkeypatch, engine):
    """Where the kernel's queue ran over, everything is looked at."""
    watcher = watch()
    monkeypatch.setattr(watcher.inotify, "read", lambda seconds: None)
    app.write_text("value = 22\n")
    assert changed(watcher) == str(app)


@pytest.mark.parametrize("engine", ["inotify"])
def test_inotify_is_quick(watch, app, monkeypatch, engine):
    """It does not wait for the next look round."""
    monkeypatch.setattr(_reload, "PERIOD", 2 * LIMIT)
    watcher = watch()
    app.write_text("value = 22\n")
    assert watcher.changes.get(timeout=LIMIT) == str(app)
    # What it waits for now would take as long.
    watcher.stop()
    os.utime(app)


def test_next_change(watch, app):
    """A reload that failed is tried again when the file is mended."""
    watcher = watch()
    for text in ("value = \n", "value = 1\n", "value = 333\n"):
        app.write_text(text)
        assert watcher.changes.get(timeout=LIMIT) == str(app)
    watcher.stop()


def test_files_that_change_together(watch, app, tmp_path, monkeypatch):
    """As when another branch is checked out: one call."""
    monkeypatch.setattr(_reload, "SETTLED", 0.3 * SLOW)
    others = [tmp_path / f"file{i}" for i in range(20)]
    for path in others:
        path.write_text("a")
    watcher = watch(*others)
    for path in (app, *others):
        path.write_text("value = 4444\n")
    assert changed(watcher) in map(str, (app, *others))


def test_lazy_modules_are_not_woken(watch, app, monkeypatch):
    class Lazy(type(sys)):
        def __getattr__(self, name):
            raise AssertionError(f"asked for {name}")

    monkeypatch.setitem(sys.modules, "lazy_module", Lazy("lazy_module"))
    watcher = watch()
    app.write_text("value = 22\n")
    assert changed(watcher) == str(app)
