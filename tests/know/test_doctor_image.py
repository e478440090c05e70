"""`cwsgi doctor`: what it finds in an image's files and packages."""

import shutil
import subprocess

import pytest
from doctored import doctor, finding, ids
from server import SANITIZE, no_tsan

pytestmark = [no_tsan, pytest.mark.timeout(300)]


@pytest.fixture
def image(tmp_path):
    root = tmp_path / "root"

    def file(name, count):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as out:
            out.truncate(count)

    status = "".join(
        f"Package: {name}\nStatus: install ok installed\nInstalled-Size: {kib}\n"
        f"Description: x\n more\n\n"
        for name, kib in [("libc6", 12_000), ("gcc-12", 60_000), ("libpq-dev", 9_000)]
    )
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(status)
    return root, file


def looked_at(root):
    return doctor("fine:app", before=["--no-memory", "--image", root])


def test_image(image):
    root, file = image
    (root / "var/lib/dpkg/status").write_text(
        "Package: libc6\nStatus: install ok installed\nInstalled-Size: 12000\n"
    )
    file("app/main.py", 1000)
    file("usr/share/icons/large.png", 60 << 20)
    assert ids(looked_at(root)) == []


def test_image_contents(image):
    root, file = image
    file("root/.cache/pip/x", 9 << 20)
    file("usr/lib/python3/dist-packages/numpy/tests/data", 12 << 20)
    file("app/media/film.mp4", 55 << 20)
    file("app/.git/objects/x", 1 << 20)
    report = looked_at(root)
    assert ids(report) == [
        "image-caches",
        "image-compilers",
        "image-git",
        "image-media",
        "image-tests",
    ]
    compilers = finding(report, "image-compilers")["details"]
    assert compilers == ["gcc-12, 58.6 MiB", "libpq-dev, 8.8 MiB"]
    facts = report["facts"]["image"]
    assert facts["packages"][0] == ["gcc-12", 60_000 * 1024]
    assert facts["files"][0] == [str(root / "app/media/film.mp4"), 55 << 20]
    assert [str(root / "app/media"), 55 << 20] in facts["folders"]


def test_packages_of_alpine_and_distroless(tmp_path):
    from cwsgi._tools import _check_image

    (tmp_path / "lib/apk/db").mkdir(parents=True)
    (tmp_path / "lib/apk/db/installed").write_text("C:Q1\nP:musl\nV:1\nI:634880\n\nP:gcc\nI:9\n")
    assert _check_image.packages(str(tmp_path), []) == {"musl": 634880, "gcc": 9}
    (tmp_path / "var/lib/dpkg/status.d").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status.d/base").write_text("Package: base\nInstalled-Size: 7\n")
    assert _check_image.packages(str(tmp_path), []) == {"base": 7 * 1024}


@pytest.fixture
def rpm_root(tmp_path):
    """A root into which rpm has installed two packages, one of them a compiler."""
    if not shutil.which("rpmbuild"):
        pytest.skip("no rpmbuild here: Debian has it in rpm")
    if SANITIZE:
        pytest.skip("rpm does not end where a sanitizer's library is loaded into it")
    root, top = tmp_path / "root", tmp_path / "top"
    for name, mib in (("gcc-c++", 40), ("tiny", 1)):
        spec = tmp_path / f"{name}.spec"
        spec.write_text(
            f"Name: {name}\nVersion: 1\nRelease: 1\nSummary: x\nLicense: MIT\nBuildArch: noarch\n"
            f"%description\nx\n%install\nmkdir -p %{{buildroot}}/opt\n"
            f"truncate -s {mib}M %{{buildroot}}/opt/{name}\n%files\n/opt/{name}\n"
        )
        build = [
            "rpmbuild",
            "-bb",
            "--define",
            f"_topdir {top}",
            "--define",
            "debug_package %{nil}",
        ]
        rpm("--define", "__brp_strip %{nil}", spec, command=build)
    # Without a root of its own, which only root may change to.
    where = ["--dbpath", root / RPM_DATA, "--relocate", f"/opt={root}/opt"]
    built = [path for path in top.rglob("*.rpm")]
    (root / RPM_DATA).mkdir(parents=True)
    rpm("-i", "--nodeps", "--badreloc", *where, *built)
    return root


RPM_DATA = "usr/lib/sysimage/rpm"


def rpm(*words, command=("rpm",)):
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr + done.stdout


def contents(root):
    """All files but the locks that SQLite keeps beside rpm's data."""
    files = (path for path in root.rglob("*") if path.is_file() and path.suffix != ".sqlite-shm")
    return {path: path.read_bytes() for path in files}


def test_packages_of_rpm(rpm_root):
    """By their data, wherever rpm itself would look for it, and without a change to it."""
    before = contents(rpm_root)
    report = looked_at(rpm_root)
    assert report["facts"]["image"]["packages"] == [["gcc-c++", 40 << 20], ["tiny", 1 << 20]]
    assert finding(report, "image-compilers")["details"] == ["gcc-c++, 40.0 MiB"]
    assert report["skipped"] == ["memory: --no-memory"]
    assert contents(rpm_root) == before


def test_rpm_data_that_cannot_be_read(tmp_path):
    """Without the program, and with data that is none, that is said."""
    data = tmp_path / "root/var/lib/rpm/rpmdb.sqlite"
    data.parent.mkdir(parents=True)
    data.write_bytes(b"x" * 4096)
    report = looked_at(tmp_path / "root")
    (told,) = (line for line in report["skipped"] if line.startswith("packages: "))
    if shutil.which("rpm") and not SANITIZE:
        assert told.startswith(f"packages: rpm finds none in {data}: error: ")
        assert "\n" not in told
    (tmp_path / "bin").mkdir()
    before = ["--no-memory", "--image", tmp_path / "root"]
    report = doctor("fine:app", before=before, PATH=tmp_path / "bin")
    assert f"packages: {data} is for rpm, which is not here" in report["skipped"]
    assert report["facts"]["image"]["packages"] == []
