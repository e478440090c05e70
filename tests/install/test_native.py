"""tools/native.py finds libraries without pkg-config, and puts their archives into ours."""

import fcntl
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from client import wait_for

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import native  # noqa: E402

HEADER = """\
#define LLHTTP_VERSION_MAJOR 9
#define LLHTTP_VERSION_MINOR 88
#define LLHTTP_VERSION_PATCH 7
#define HTTP_REQUEST 1
typedef struct { int n; } llhttp_t;
typedef struct { int n; } llhttp_settings_t;
void llhttp_init(llhttp_t *, int, const llhttp_settings_t *);
int llhttp_execute(llhttp_t *, const char *, unsigned long);
int llhttp_finish(llhttp_t *);
"""
SOURCE = """\
#include "llhttp.h"
#include <stdio.h>
void llhttp_init(llhttp_t *p, int k, const llhttp_settings_t *s) { p->n = k; }
int llhttp_execute(llhttp_t *p, const char *d, unsigned long n) {
  return fwrite(d, 1, n, stderr) == n ? 0 : p->n;
}
int llhttp_finish(llhttp_t *p) { return 0; }
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of the compiler's own path, and no pkg-config that could tell of another."""
    (tmp_path / "llhttp.h").write_text(HEADER)
    (tmp_path / "http.c").write_text(SOURCE)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("gcc", "cc", "as", "ld", "ar", "objcopy"):
        found = shutil.which(name)
        if found:
            (programs / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("CPATH", str(tmp_path))
    monkeypatch.setenv("LIBRARY_PATH", str(tmp_path))
    monkeypatch.delenv("PKG_CONFIG", raising=False)
    return tmp_path


def compile_in(place, *flags):
    subprocess.run(["gcc", *flags], cwd=place, check=True)


def find(place):
    assert native.pkg_config("--version") is None
    return native.find_llhttp(["gcc"], folder=place / "changed")


@pytest.mark.parametrize("code", ["-fPIC", "-fPIE"])
def test_archive_comes_before_shared_library(place, code):
    """Debian's libllhttp-dev has both; code of the archive is often made for programs."""
    compile_in(place, code, "-O2", "-c", "http.c")
    compile_in(place, "-shared", "-fPIC", "http.c", "-o", "libllhttp.so")
    subprocess.run(["ar", "rcs", "libllhttp.a", "http.o"], cwd=place, check=True)
    library = find(place)
    assert library.version == "9.88.7" and not library.sources
    assert "-lllhttp" not in library.link

    (place / "user.c").write_text(
        '#include "llhttp.h"\nint f(llhttp_t *p) { return llhttp_execute(p, "x", 1); }\n'
    )
    compile_in(place, "-shared", "-fPIC", "user.c", "-o", "user.so", *library.link, "-Wl,-z,text")
    needed = subprocess.run(
        ["/usr/bin/objdump", "-p", "user.so"], cwd=place, check=True, capture_output=True, text=True
    ).stdout
    assert "NEEDED" in needed and "llhttp.so" not in needed


def test_without_either(place, monkeypatch):
    """A header alone is not enough; what to install is said."""
    monkeypatch.setattr(native.os.path, "isfile", lambda path: False)
    monkeypatch.setattr(native.Trial, "links", lambda trial, flags: False)
    with pytest.raises(native.BuildError, match="^not found: llhttp: apt-get install [a-z-]+$"):
        find(place)


def test_all_that_is_missing_is_named_at_once(tmp_path):
    """As `pip install .` runs it on a machine that has an interpreter and nothing else."""
    code = f"""
import os, sys, sysconfig
sys.path.insert(0, {str(ROOT / "tools")!r})
import native
sys.base_prefix = "/usr"
native.os.path.isfile = lambda path: False
try:
    native.toolchain()
except native.BuildError as error:
    print(error)
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert answer.stderr == ""
    assert answer.stdout.startswith(
        f"not found: a C compiler (or set CC), Python.h of CPython {version} in /usr, libuv,"
        f" llhttp, zlib: apt-get install gcc libc6-dev python{version}-dev libuv1-dev "
    )
    assert answer.stdout.endswith(" zlib1g-dev\n")
    assert answer.stdout.count("\n") == 1


def test_one_build_in_a_tree_at_a_time(tmp_path):
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", tmp_path]
    (ROOT / "build").mkdir(exist_ok=True)
    with open(ROOT / "build" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        build = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        waits = re.compile(rf"-> FLOCK .* {build.pid} ")
        wait_for(lambda: waits.search(Path("/proc/locks").read_text()), "the build to wait", 30)
        assert not list(tmp_path.iterdir())
    assert build.wait(60) == 0, build.stderr.read()
    assert (tmp_path / "cwsgi" / "_version.py").exists()


def test_what_is_small_is_there():
    assert native.SMALL <= {*native.EXTENSION_SOURCES, *native.PROGRAM_SOURCES}


@pytest.mark.parametrize(
    "flags, small",
    [
        (["-O2", "-g"], ["-Oz", "-x", "-g"]),
        (["-O2", "-g", "-O2"], ["-Oz", "-x", "-g", "-O2"]),  # the last is the user's, and wins
        (["-O1", "-g"], ["-O1", "-g"]),
    ],
)
def test_small_sources_have_their_own_flags(monkeypatch, flags, small):
    compiled = {}

    class Recorder:
        folder = Path("nowhere")

        def __init__(self, cc, flags):
            self.flags = flags

        def compile(self, sources):
            compiled.update((source, self.flags) for source in sources)
            return list(sources)

    monkeypatch.setattr(native, "Builder", Recorder)
    empty = native.Library("1")
    python = native.Python("3.11", "libpython3.11.so.1.0", "x86_64-linux-gnu", [])
    parts = native.Parts(["cc"], empty, empty, empty, python, flags, [], ("-Oz", "-x"))
    sources = ["csrc/http/conn.c", "csrc/launcher/main.c"]
    assert sorted(parts.compile(sources, "-fPIC")) == sources
    for source, wanted in zip(sources, (flags, small), strict=True):
        at = compiled[source].index("-fPIC") + 1
        assert compiled[source][at : at + len(wanted)] == wanted
