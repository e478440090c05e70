"""cwsgi record, and --prefetch, which reads what it has written."""

import ctypes
import mmap
import os
import re
import signal

import psutil
import pytest
from client import wait_for
from server import run

MAIN = """
import cwsgi, json
import package.inner
raw = open("data.txt").read()

@cwsgi.on_startup
def later():
    import later_module

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]
"""
HEAD = "cwsgi-prefetch 1\n"


@pytest.fixture
def tmp_path(open_folder):
    return open_folder


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "app"
    (folder / "package").mkdir(parents=True)
    (folder / "main.py").write_text(MAIN)
    (folder / "later_module.py").write_text("")
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "inner.py").write_text("import _ctypes\n")
    (folder / "data.txt").write_text("x" * 100)
    return folder


def record(folder, *words, env=None):
    return run("record", *words, cwd=folder, env={"PYTHONDONTWRITEBYTECODE": None, **(env or {})})


def entries(path):
    """Path and ranges of each line, in order."""
    text = path.read_text()
    assert text.startswith(HEAD)
    lines = [line.split(" ", 1) for line in text.splitlines()[1:] if not line.startswith("#")]
    for what, file in lines:
        assert re.fullmatch(r"\*|\d+\+\d+(,\d+\+\d+)*", what) and file.startswith("/")
    return [(file, what) for what, file in lines]


def cached(path):
    import importlib.util

    return importlib.util.cache_from_source(str(path))


def test_what_is_read(folder, door):
    record(folder, "main:app")  # writes the .pyc files
    done = record(folder, "main:app", env={"CWSGI_INTERPRETER": door})
    assert done.returncode == 0, done.stderr
    path = folder / "cwsgi.prefetch"
    assert done.stdout.startswith(f"{path}: ")
    found = entries(path)
    files = [file for file, _ in found]
    ranges = dict(found)
    main, inner, data = (str(folder / name) for name in ("main.py", "package/inner.py", "data.txt"))
    assert ranges[cached(main)] == "*" and ranges[main] == "0+0" and ranges[data] == "*"
    assert files.index(main) < files.index(cached(main)) < files.index(cached(inner))
    assert files.index(cached(inner)) < files.index(data)
    assert not [file for file in files if "later_module" in file or "_boot_trace" in file]
    extension = next(file for file in files if re.search(r"/_ctypes\.[^/]*so$", file))
    assert files.index(cached(inner)) < files.index(extension) < files.index(data)
    assert ranges[extension] != "*"
    # libc first of all, what an extension brings in right before it.
    libc = next(file for file in files if "/libc.so" in file or "/libc-" in file)
    assert files.index(libc) < files.index(main)
    ffi = [file for file in files if "/libffi.so" in file]
    assert not ffi or files.index(main) < files.index(ffi[0]) < files.index(extension)
    assert len(files) == len(set(files))
    for file, what in found:
        size = os.stat(file).st_size
        for one in [] if what == "*" else what.split(","):
            offset, length = map(int, one.split("+"))
            assert offset + length <= size


def test_serving(folder):
    output = folder / "other.list"
    done = record(folder, "--serve", "--output", output, "main:app")
    assert done.returncode == 0, done.stderr
    assert str(folder / "later_module.py") in dict(entries(output))
    assert not (folder / "cwsgi.prefetch").exists()


def test_a_broken_app(folder):
    (folder / "main.py").write_text("raise RuntimeError('too bad')")
    for words in (["main:app"], ["--serve", "main:app"]):
        done = record(folder, *words)
        assert done.returncode == 1 and "too bad" in done.stderr
        assert done.stderr.splitlines()[-1].startswith("cwsgi record: the app cannot be ")
    assert not (folder / "cwsgi.prefetch").exists()
    assert record(folder).returncode == 2
    (folder / "main.py").write_text(MAIN)
    done = record(folder, "--output", folder / "missing" / "list", "main:app")
    assert done.returncode == 1 and "cannot write" in done.stderr


# ---- reading ahead ----


def readers(server):
    """What reads ahead for a server now."""
    found = []
    for pid in server.members():
        try:
            if psutil.Process(pid).cmdline()[:1] == ["cwsgi: reading ahead"]:
                found.append(pid)
        except psutil.Error:
            pass
    return found


LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
LIBC.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def resident(path):
    """Whether the first page of a file is in memory. To read it, however, would read ahead."""
    page, found = mmap.PAGESIZE, ctypes.create_string_buffer(1)
    with open(path, "rb") as file:
        at = LIBC.mmap(None, page, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    assert at != ctypes.c_void_p(-1).value
    assert LIBC.mincore(at, page, found) == 0
    LIBC.munmap(at, page)
    return bool(found.raw[0] & 1)


def evict(path):
    """Has the kernel forget a file's pages; the test is of no use where it does not."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
    if resident(path):
        pytest.skip("this file system keeps its pages")


def listed(folder, *lines, name="cwsgi.prefetch"):
    path = folder / name
    path.write_text(HEAD + "".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def big(folder):
    """A file that nobody but the reader ahead will read."""
    path = folder / "big.bin"
    path.write_bytes(os.urandom(3 << 20))
    return path


@pytest.mark.parametrize("what", ["*", "0+3145728", "4096+10,0+4096"])
def test_reading_ahead(serve, folder, big, what):
    """By the list beside the app."""
    listed(folder, f"{what} {big}")
    evict(big)
    server = serve("main:app", chdir=folder)
    assert server.get("/").body == b"hello"
    wait_for(lambda: resident(big), "the file in memory")
    assert "prefetch" not in server.log()


@pytest.mark.parametrize("named", [True, False])
def test_another_list_or_none(serve, folder, big, named):
    listed(folder, f"* {big}", name="cwsgi.prefetch" if not named else "other")
    evict(big)
    server = serve("main:app", "--prefetch", "other" if named else "none", chdir=folder)
    assert server.get("/").body == b"hello"
    if named:
        wait_for(lambda: resident(big), "the file in memory")
    else:
        assert not resident(big)


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("", "`cwsgi record` has not made it"),
        ("something else\n", "`cwsgi record` has not made it"),
        (None, "No such file or directory"),
    ],
)
def test_no_list(serve, folder, text, complaint):
    path = folder / "list"
    if text is not None:
        path.write_text(text)
    server = serve("main:app", "--prefetch", path, chdir=folder)
    assert server.get("/").body == b"hello"
    assert f"[WARNING] --prefetch: cannot use {path}: {complaint}" in server.log()


def test_a_stale_or_hostile_list(serve, folder, big):
    """Nothing of it is more than a hint, and no file but a regular one is opened."""
    fifo, link = folder / "fifo", folder / "link"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    listed(
        folder,
        "* /nonexistent/file",
        f"* {fifo}",
        f"0+4096 {link}",
        f"* /{'x' * 100_000}",
        f"{'0+1,' * 100_000}0+1 {fifo}",
        f"-4096+4096,0+-1 {folder / 'main.py'}",
        "* /dev/tty",
        f"* {folder}",
        "* relative",
        "*",
        "0+",
        f"99999999999999999999+1 {big}",
        f"0+99999999999999999999 {big}",
        f"0+1,+,5 {folder / 'main.py'}",
        "garbage",
        "7 7 7",
        f"0+0 {folder / 'main.py'}",
        f"* {big}",
    )
    evict(big)
    server = serve("main:app", chdir=folder)
    assert server.get("/").body == b"hello"
    wait_for(lambda: resident(big), "the file in memory")
    wait_for(lambda: len(server.workers()) == 1, "the readers to have ended")


def test_nothing_behind_a_nul_is_read(serve, folder, big):
    other = folder / "other.bin"
    other.write_bytes(big.read_bytes())
    listed(folder, f"* {big}", f"* {other}\0", f"* {other}")
    evict(other)
    evict(big)
    server = serve("main:app", chdir=folder)
    wait_for(lambda: resident(big) and resident(other), "both files in memory")
    evict(other)
    listed(folder, f"* {big}", "\0", *[f"* {other}"] * 99)
    evict(big)
    server = serve("main:app", chdir=folder)
    wait_for(lambda: resident(big), "the file in memory")
    wait_for(lambda: len(server.workers()) == 1, "the readers to have ended")
    assert not resident(other)


def test_a_warm_start_reads_nothing(serve, folder, big):
    """Nor do sources make a start cold that nobody has read, since they have .pyc files."""
    source = folder / "later_module.py"
    source.write_text("x = 1\n")
    warm = folder / "data.txt"
    warm.read_text()
    lines = [f"0+0 {source}", f"* {warm}"] * 50
    lines[3] = f"* {big}"  # between those that are looked at
    listed(folder, *lines)
    evict(source)
    evict(big)
    server = serve("main:app", chdir=folder)
    wait_for(lambda: len(server.workers()) == 1, "the reader to have ended")
    assert not resident(big)


def test_a_cold_start_is_seen_between_sources(serve, folder, big):
    """Where all that is looked at first are sources, what follows each is looked at."""
    lines = [f"0+0 {folder / 'main.py'}", f"* {big}"] * 8
    listed(folder, *lines[:15])
    evict(big)
    serve("main:app", chdir=folder)
    wait_for(lambda: resident(big), "the file in memory")


def test_its_processes_end(serve, folder, big):
    """With the list, and with the server where that ends before."""
    listed(folder, *[f"* {big}"] * 2000)
    evict(big)
    server = serve("main:app", "--preload", chdir=folder, workers=2)
    wait_for(lambda: resident(big), "the file in memory")
    wait_for(lambda: not readers(server), "the readers to have ended")
    evict(big)
    server = serve("main:app", chdir=folder)
    assert server.stop(signal.SIGTERM) == 0
    wait_for(lambda: not readers(server), "the readers to have ended")


def test_as_the_workers_user(serve, folder, for_nobody, big):
    """What root could read and nobody cannot is not read."""
    for_nobody["chdir"] = folder
    secret = folder / "secret"
    secret.write_bytes(b"x" * 4096)
    secret.chmod(0o600)
    listed(folder, f"* {secret}", *[f"* {big}"] * 9)
    evict(secret)
    evict(big)
    server = serve("main:app", "--user", "nobody", **for_nobody)
    wait_for(lambda: resident(big), "the other file in memory")
    wait_for(lambda: len(server.workers()) == 1, "the reader to have ended")
    assert not resident(secret)
