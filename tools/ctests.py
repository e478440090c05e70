"""Builds and runs what tests C without Python, with ASan and UBSan.

    tools/ctests.py unit [--sanitize thread] [NAME ...]   cmocka programs
    tools/ctests.py replay                                fuzz targets on their corpora
    tools/ctests.py fuzz [--seconds N] [NAME ...]         fuzz targets, looking for more

Every file of tests/unit and tests/fuzz is a program of its own, linked with base/, http/,
supervisor/, llhttp, libuv and zlib. The corpus of tests/fuzz/NAME.c is tests/fuzz/corpus/NAME/.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import native

OUTPUT = native.ROOT / "build" / "ctests"
TIME_LIMIT = 300
DEFAULT = "address,undefined"


class Programs:
    """Test programs of one kind: the flags are what that kind is compiled with besides."""

    def __init__(self, sanitize, extra_compile, extra_link):
        os.environ.setdefault("CC", "clang")
        cc = native.compiler()
        sanitizers, self.link_flags = native.sanitizer_flags(sanitize)
        self.link_flags += extra_link
        llhttp = native.find_llhttp(cc)
        libuv = native.find_libuv(cc, sanitize)
        zlib = native.find_zlib(cc)
        flags = [
            *native.BASE_FLAGS,
            *native.WARNINGS,
            "-Werror",
            *sanitizers,
            *extra_compile,
            "-DCW_FAULTS=1",
            '-DCW_VERSION="0"',
            "-Itests",
            *libuv.cflags,
            *llhttp.cflags,
            *zlib.cflags,
        ]
        self.builder = native.Builder(cc, flags)
        sources = sorted(
            path
            for folder in ("base", "http", "supervisor")
            for path in (native.ROOT / "csrc" / folder).glob("*.c")
        )
        objects = self.builder.compile([path.relative_to(native.ROOT) for path in sources])
        objects += self.builder.compile(llhttp.sources, llhttp.source_flags)
        # An archive: a test may bring its own version of one of the parts.
        archive = self.builder.folder / "libcw.a"
        archive.unlink(missing_ok=True)
        native.check(["ar", "rcs", str(archive), *objects], "could not make libcw.a")
        self.libraries = [str(archive), *libuv.link, *llhttp.link, *zlib.link]

    def build(self, sources):
        """Yields the program of each source."""
        names = [path.relative_to(native.ROOT) for path in sources]
        for name, test in zip(names, self.builder.compile(names), strict=True):
            target = OUTPUT / name.parent.name / name.stem
            yield self.builder.link(target, [test, *self.libraries], self.link_flags)


def execute(command):
    """Runs a test program; returns whether it passed."""
    env = {"TSAN_OPTIONS": "suppressions=tools/tsan.supp", **os.environ}
    try:
        code = subprocess.run(command, cwd=native.ROOT, timeout=TIME_LIMIT, env=env).returncode
    except subprocess.TimeoutExpired:
        code = f"no end after {TIME_LIMIT} s"
    if code:
        print(f"FAILED: {command[0]}: {code}", flush=True)
    return not code


def sources_in(folder, chosen):
    """All C files of a folder of tests, or the chosen ones (paths or bare names)."""
    paths = sorted((native.ROOT / "tests" / folder).glob("*.c"))
    if not chosen:
        return paths
    wanted = {Path(name).stem for name in chosen}
    found = [path for path in paths if path.stem in wanted]
    if len(found) < len(wanted):
        raise native.BuildError(f"no such test: {' '.join(chosen)}")
    return found


def unit(options):
    sources = sources_in("unit", options.names)
    if not sources:
        return True
    programs = Programs(options.sanitize, [], ["-lcmocka"])
    return all([execute([program]) for program in programs.build(sources)])


def fuzz_programs(names):
    sources = sources_in("fuzz", names)
    if not sources:
        return []
    programs = Programs(DEFAULT, ["-fsanitize=fuzzer-no-link"], ["-fsanitize=fuzzer"])
    return list(zip(sources, programs.build(sources), strict=True))


def corpus(source):
    return sorted(path for path in (source.parent / "corpus" / source.stem).glob("*"))


def replay(options):
    return all(
        [
            execute([program, *map(str, corpus(source))])
            for source, program in fuzz_programs(options.names)
        ]
    )


def fuzz(options):
    passed = True
    for source, program in fuzz_programs(options.names):
        # New inputs go to the first folder; the tree's own corpus stays as it is.
        found = OUTPUT / "found" / source.stem
        found.mkdir(parents=True, exist_ok=True)
        folders = [str(found), str(source.parent / "corpus" / source.stem)]
        limits = [f"-max_total_time={options.seconds}", f"-artifact_prefix={found}/crash-"]
        global TIME_LIMIT
        TIME_LIMIT = options.seconds + 120
        passed &= execute([program, *limits, *filter(os.path.isdir, folders)])
    return passed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("unit", "replay", "fuzz"))
    parser.add_argument("names", nargs="*")
    parser.add_argument("--sanitize", default=DEFAULT, help="of unit tests")
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    try:
        passed = {"unit": unit, "replay": replay, "fuzz": fuzz}[options.kind](options)
    except native.BuildError as error:
        sys.exit(str(error))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
