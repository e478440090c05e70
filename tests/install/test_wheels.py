"""What tools/wheels.py packs, and (with `make .venv/.wheels`) a wheel that it builds."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
import zlib
from importlib.util import find_spec
from pathlib import Path

import pytest
from server import clean_env

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import native  # noqa: E402
import wheels  # noqa: E402

builds = pytest.mark.skipif(not find_spec("ziglang"), reason="needs ziglang (make .venv/.wheels)")
CPYTHON = "cp{}{}".format(*sys.version_info)
HERE = f"manylinux_2_28_{os.uname().machine}"


def test_an_archive_knows_no_time_and_no_order(tmp_path, monkeypatch):
    # Raw deflate by zlib: zopfli is there where wheels are built.
    monkeypatch.setattr(wheels, "deflated", lambda data: zlib.compress(data)[2:-4])
    files = {"cwsgi/b.py": (b"b", 0o644), "cwsgi-1.data/scripts/x": (b"\x7fELF", 0o755)}
    files["cwsgi-1.dist-info/WHEEL"] = (b"Tag: x\n", 0o644)
    wheels.pack(tmp_path / "one", "cwsgi-1.dist-info", files)
    backwards = dict(reversed(files.items()))
    wheels.pack(tmp_path / "two", "cwsgi-1.dist-info", backwards)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with zipfile.ZipFile(tmp_path / "one") as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert names[-2:] == ["cwsgi-1.dist-info/WHEEL", "cwsgi-1.dist-info/RECORD"]
        assert archive.getinfo("cwsgi-1.data/scripts/x").external_attr >> 16 == 0o100755
        record = archive.read(names[-1]).decode().splitlines()
    assert [line.split(",")[0] for line in record] == names
    assert record[1] == "cwsgi/b.py,sha256=PiPoFgA5WUoziU9lZOGxNIu9egCI1CxKy3PurtWcAJ0,1"
    assert record[-1] == "cwsgi-1.dist-info/RECORD,,"


@pytest.mark.parametrize(
    "only, name, expected",
    [
        ("", "cp311", True),
        ("cp311", "cp311", True),
        ("cp311", "cp312", False),
        ("cp311", "musllinux_1_2_x86_64", True),
        ("musllinux_1_2_x86_64", "cp310", True),
        ("cp310,musllinux_1_2_x86_64", "manylinux_2_28_x86_64", False),
    ],
)
def test_what_is_chosen(only, name, expected):
    assert wheels.chosen(name, set(filter(None, only.split(",")))) == expected


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two folders, each with what a tree of its own has built for this Python."""
    results = []
    for number in range(2):
        wheels.WORK.mkdir(parents=True, exist_ok=True)
        folder = tmp_path_factory.mktemp(f"tree{number}")
        tree = ROOT if number == 0 else wheels.copy_of_the_tree(folder / "elsewhere")
        command = [sys.executable, "tools/wheels.py", "--only", f"{CPYTHON},{HERE}"]
        command += ["--folder", str(folder / "dist")]
        subprocess.run(command, cwd=tree, env=clean_env(), check=True, timeout=600)
        results.append(folder / "dist")
    return results


@builds
@pytest.mark.timeout(1300)
def test_two_builds_are_equal(built):
    names = [sorted(path.name for path in folder.iterdir()) for folder in built]
    version = native.version()
    wheel, sdist = f"cwsgi-{version}-{CPYTHON}-{CPYTHON}-{HERE}.whl", f"cwsgi-{version}.tar.gz"
    assert names[0] == names[1] == [wheel, sdist]
    for name in names[0]:
        assert (built[0] / name).read_bytes() == (built[1] / name).read_bytes(), name


@builds
@pytest.mark.timeout(1300)
def test_a_wheel_is_what_it_says(built):
    (wheel,) = built[0].glob("*.whl")
    assert wheel.stat().st_size <= wheels.MOST
    show = [sys.executable, "-m", "auditwheel", "show", str(wheel)]
    shown = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    assert re.search(rf'following platform tag:\s+"{HERE}"', shown), shown
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    texts = {name.partition("/licenses/")[2] for name in names if "/licenses/" in name}
    assert {"LICENSE", "libuv/LICENSE", "libuv/LICENSE-extra", "llhttp/LICENSE-MIT"} <= texts
    assert "zlib/LICENSE" in texts
    package = {name for name in names if name.startswith("cwsgi/") and "_core.c" not in name}
    sources = [
        *ROOT.glob("python/cwsgi/*.py*"),
        *ROOT.glob("python/cwsgi/*.html"),
        *ROOT.glob("python/cwsgi/_tools/**/*.py"),
    ]
    wanted = {str(one.relative_to(ROOT / "python")) for one in sources}
    assert package == wanted | {"cwsgi/py.typed"}


@builds
@pytest.mark.timeout(1300)
def test_a_wheel_serves(built, tmp_path, serve):
    venv, (wheel,) = tmp_path / "venv", built[0].glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [venv / "bin" / "pip", "--disable-pip-version-check", "-q", "install", "--no-index"]
    subprocess.run([*pip, "--find-links", wheel.parent, "cwsgi"], check=True)
    server = serve("hello:app", command=[str(venv / "bin" / "cwsgi")])
    assert server.get("/").body == b"Hello, World!\n"


@builds
@pytest.mark.timeout(1300)
def test_the_sdist_has_it_all(built):
    (sdist,) = built[0].glob("*.tar.gz")
    with tarfile.open(sdist) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    known = native.run(["git", "ls-files", "-z"]).stdout.split("\0")
    wanted = {name for name in known if name and not name.startswith(".")}
    assert wanted - names == set()
    # And nothing that lies about.
    grafted = ("bench/", "csrc/", "docs/", "examples/", "tests/", "tools/")
    assert {name for name in names - wanted if name.startswith(grafted)} == set()
