"""What the two compiled files need of the system that they are brought to."""

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
import server

pytestmark = pytest.mark.skipif(bool(server.SANITIZE), reason="needs a sanitizer's runtime")

LIBC = {"libc.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libm.so.6"}

# They have a new version, because their library was joined with libc or their name was once a
# macro; a build on an older system takes the older one.
MOVED = re.compile(
    r"""(__)?(pthread_(attr|barrier|cond|condattr|mutex|mutexattr|rwlock)_[a-z]+
    |pthread_(create|detach|join|once|sigmask|kill|key_create|key_delete|[gs]etspecific)
    |pthread_[gs]etname_np|pthread_(get|set)affinity_np|pthread_getattr_np
    |sem_[a-z]+|dl(open|sym|error|close|addr)|[fl]?stat(64)?|fstatat(64)?|mknod(at)?
    |__libc_start_main|isoc23_(strto|sscanf|fscanf)\w*)""",
    re.X,
)


def binaries():
    package = Path(sysconfig.get_path("platlib")) / "cwsgi"
    return [*package.glob("_core*.so"), Path(sysconfig.get_path("scripts")) / "cwsgi"]


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_both_are_looked_at():
    assert [path.exists() for path in binaries()] == [True, True]


@pytest.mark.parametrize("path", binaries(), ids=lambda path: path.name)
def test_libraries(path):
    needed = re.findall(r"NEEDED\s+(\S+)", output("objdump", "-p", path))
    assert "libc.so.6" in needed
    # llhttp, libuv and zlib are inside: a two-stage image has none of them.
    assert {name for name in needed if not name.startswith("ld-linux")} <= LIBC


@pytest.mark.parametrize("path", binaries(), ids=lambda path: path.name)
def test_glibc_2_28_is_enough(path):
    undefined = output("nm", "-D", "--undefined-only", path)
    found = re.findall(r"(\w+)@+GLIBC_2\.(\d+)", undefined)
    assert len(found) > 20
    newer = {name for name, minor in found if int(minor) > 28}
    assert {name for name in newer if not MOVED.fullmatch(name)} == set()
