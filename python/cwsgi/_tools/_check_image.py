"""What is in an image: its packages, folders and files, and what need not be there.

Reads names and sizes alone, of one file system, for some seconds at most.
"""

import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ._findings import ADVICE, WARNING, Finding
from ._screen import size

SECONDS = 20.0
TEN = 10
PASSED = {"proc", "sys", "dev", "run", "tmp", "lost+found"}

CACHES = (
    "var/lib/apt/lists", "var/cache/apt/archives", "var/cache/apk", "var/cache/dnf",
    "var/cache/yum", "root/.cache", "root/.npm",
)  # fmt: skip
# openSUSE and Fedora; all of them some years ago.
RPM_FOLDERS = ("usr/lib/sysimage/rpm", "var/lib/rpm")
RPM_FILES = ("rpmdb.sqlite", "Packages.db", "Packages")
COMPILERS = re.compile(
    r"(gcc|g\+\+|cpp|clang|llvm|rust\w*|cargo|golang|make|cmake|build-essential|binutils)"
    r"(-[\d.]+.*|-common|-dev|-c\+\+)?$"
)
HEADERS = re.compile(
    r"(lib.+|python3.*|linux-libc|musl)-dev(:\w+)?$|.+-devel$|(glibc|kernel)-headers$"
)
MEDIA = (
    ".mp4", ".mov", ".avi", ".mkv", ".webm", ".mp3", ".wav", ".flac", ".jpg", ".jpeg", ".png",
    ".gif", ".tif", ".tiff", ".psd", ".pdf", ".zip", ".tar", ".gz", ".tgz", ".iso", ".csv",
    ".parquet", ".sqlite3", ".dump",
)  # fmt: skip

COMPILERS_LEAST = 20 << 20
CACHES_LEAST = 5 << 20
TESTS_LEAST = 10 << 20
MEDIA_LEAST = 50 << 20


# ---- packages ----


def packages(root: str, skipped: list[str]) -> dict[str, int]:
    """Return the packages of the system and their bytes, by dpkg's, apk's or rpm's data.

    Args:
        skipped: where it is said that there are some which cannot be read.
    """
    return _dpkg(root) or _apk(root) or _rpm(root, skipped)


def _blocks(path: str) -> Iterator[list[str]]:
    try:
        text = Path(path).read_text("utf-8", "replace")
    except OSError:
        return
    for block in text.split("\n\n"):
        yield block.splitlines()


def _dpkg(root: str) -> dict[str, int]:
    found: dict[str, int] = {}
    # Distroless images have a file for each package.
    folder = os.path.join(root, "var/lib/dpkg/status.d")
    singles = sorted(Path(folder).iterdir()) if os.path.isdir(folder) else []
    for path in [os.path.join(root, "var/lib/dpkg/status"), *map(str, singles)]:
        for lines in _blocks(path):
            fields = dict(line.split(": ", 1) for line in lines if re.match(r"[\w-]+: ", line))
            installed = fields.get("Status", "install ok installed").endswith(" installed")
            if installed and fields.get("Package") and fields.get("Installed-Size", "").isdigit():
                found[fields["Package"]] = int(fields["Installed-Size"]) * 1024
    return found


def _apk(root: str) -> dict[str, int]:
    found = {}
    for lines in _blocks(os.path.join(root, "lib/apk/db/installed")):
        fields = {line[0]: line[2:] for line in lines if line[1:2] == ":"}
        if "P" in fields and fields.get("I", "").isdigit():
            found[fields["P"]] = int(fields["I"])
    return found


def _rpm(root: str, skipped: list[str]) -> dict[str, int]:
    """Of rpm only its own program can read the data. With --root it would need rights."""
    import shutil
    import subprocess

    folders = [os.path.join(root, name) for name in RPM_FOLDERS]
    files = [os.path.join(folder, name) for folder in folders for name in RPM_FILES]
    data = next(filter(os.path.isfile, files), None)
    if not data:
        return {}
    program, folder = shutil.which("rpm"), os.path.dirname(data)
    if not program:
        skipped.append(f"packages: {data} is for rpm, which is not here")
        return {}
    command = [program, "--dbpath", folder, "-qa", "--qf", "%{NAME} %{LONGSIZE}\\n"]
    found: Counter[str] = Counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        skipped.append(f"packages: {error}")
        return {}
    for row in map(str.split, done.stdout.splitlines()):
        if len(row) == 2 and row[1].isdigit():
            found[row[0]] += int(row[1])  # some are there for two architectures
    if not found:
        why = done.stderr.strip().rpartition("\n")[2]
        skipped.append(f"packages: rpm finds none in {data}: {why}")
    return found


# ---- files ----


class Tree:
    """Sizes of an image's folders and files.

    Attributes:
        whole: whether all of it was read in time.
    """

    def __init__(self, root: str) -> None:
        self.root, self.whole = root, True
        self.folders: Counter[str] = Counter()
        self.files: Counter[str] = Counter()
        self.tests: Counter[str] = Counter()
        self.media: Counter[str] = Counter()
        self.repositories: Counter[str] = Counter()
        self.total = 0
        self._read()

    def _read(self) -> None:
        end = time.monotonic() + SECONDS
        device = os.lstat(self.root).st_dev
        for folder, names, files in os.walk(self.root):
            if time.monotonic() > end:
                self.whole = False
                return
            if folder == self.root:
                names[:] = [name for name in names if name not in PASSED]
            names[:] = [name for name in names if _is_on(os.path.join(folder, name), device)]
            self._add(folder, files)

    def _add(self, folder: str, files: list[str]) -> None:
        inside = 0
        library = "-packages/" in folder + "/" or "/usr/" in folder + "/"
        for name in files:
            path = os.path.join(folder, name)
            try:
                length = os.lstat(path).st_size
            except OSError:
                continue
            inside += length
            if length > 1 << 20:
                self.files[path] = length
            if not library and name.lower().endswith(MEDIA):
                self.media[path] = length
        self.total += inside
        parts = os.path.relpath(folder, self.root).split(os.sep)
        # Three levels: /usr/lib/python3 says where to look.
        for depth in range(1, min(len(parts), 3) + 1):
            if parts[0] != ".":
                self.folders[os.path.join(self.root, *parts[:depth])] += inside
        for word, into in (
            ("tests", self.tests),
            ("test", self.tests),
            (".git", self.repositories),
        ):
            if word in parts and ("-packages" in folder or word == ".git"):
                into[os.path.join(self.root, *parts[: parts.index(word) + 1])] += inside

    def bytes_in(self, path: str) -> int:
        """Return the bytes of a folder, however deep it lies."""
        total = 0
        for folder, _, files in os.walk(path):
            for name in files:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_size
                except OSError:
                    continue
        return total


def _is_on(path: str, device: int) -> bool:
    try:
        return os.lstat(path).st_dev == device and not os.path.islink(path)
    except OSError:
        return False


def facts(installed: dict[str, int], tree: Tree) -> dict[str, Any]:
    return {
        "bytes": tree.total,
        "whole": tree.whole,
        "packages": [list(one) for one in Counter(installed).most_common(TEN)],
        "folders": [list(one) for one in tree.folders.most_common(TEN)],
        "files": [list(one) for one in tree.files.most_common(TEN)],
    }


def check(installed: dict[str, int], tree: Tree) -> list[Finding]:
    return [*compilers(installed), *caches(tree), *tests(tree), *media(tree), *git(tree)]


def _largest(sizes: dict[str, int]) -> list[str]:
    return [f"{name}, {size(count)}" for name, count in Counter(sizes).most_common(TEN)]


def compilers(installed: dict[str, int]) -> list[Finding]:
    found = {
        name: count
        for name, count in installed.items()
        if COMPILERS.match(name) or HEADERS.match(name)
    }
    total = sum(found.values())
    if total < COMPILERS_LEAST:
        return []
    return [
        Finding(
            "image-compilers",
            WARNING,
            f"the image has compilers and headers ({size(total)})",
            f"{size(total)} to store and to pull",
            "build wheels in a stage of its own, and copy the virtual environment from there "
            "(docs/containers.md)",
            _largest(found),
        )
    ]


def caches(tree: Tree) -> list[Finding]:
    found = {}
    for name in CACHES:
        path = os.path.join(tree.root, name)
        if os.path.isdir(path) and (count := tree.bytes_in(path)):
            found[path] = count
    total = sum(found.values())
    if total < CACHES_LEAST:
        return []
    return [
        Finding(
            "image-caches",
            WARNING,
            f"the image has caches of package managers ({size(total)})",
            f"{size(total)} to store and to pull",
            "pip install --no-cache-dir; rm -rf /var/lib/apt/lists/* in the same RUN as apt-get; "
            "apk add --no-cache",
            _largest(found),
        )
    ]


def tests(tree: Tree) -> list[Finding]:
    total = sum(tree.tests.values())
    if total < TESTS_LEAST:
        return []
    return [
        Finding(
            "image-tests",
            ADVICE,
            f"installed packages carry {size(total)} of tests",
            f"{size(total)} to store and to pull",
            "remove them in the stage that builds: find / -path '*-packages*' -name tests -prune",
            _largest(dict(tree.tests)),
        )
    ]


def media(tree: Tree) -> list[Finding]:
    total = sum(tree.media.values())
    if total < MEDIA_LEAST:
        return []
    return [
        Finding(
            "image-media",
            WARNING,
            f"the image has {size(total)} of media and archives",
            f"{size(total)} to store and to pull; each change makes a new image",
            "keep them in object storage, and have clients load them from there",
            _largest(dict(tree.media)),
        )
    ]


def git(tree: Tree) -> list[Finding]:
    if not tree.repositories:
        return []
    total = sum(tree.repositories.values())
    return [
        Finding(
            "image-git",
            WARNING,
            f"the image has the repository's history ({size(total)})",
            f"{size(total)}, and whatever was ever committed can be read in the image",
            "list .git in .dockerignore",
            _largest(dict(tree.repositories)),
        )
    ]
