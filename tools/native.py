"""Finds the C compiler, libuv, llhttp and zlib, and compiles and links with them.

Used by setup.py, tools/ctests.py and bench/run.py. Standard library only, because
setup.py runs it inside pip's isolated build environment.
"""

import fcntl
import functools
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Where archives of libraries are kept that had to be changed.
LIBRARIES = Path("build/obj/libraries")

WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Wmissing-prototypes",
    "-Wstrict-prototypes",
    "-Wundef",
    "-Wvla",
    "-Wshadow",
    "-Wcast-qual",
    "-Wconversion",
]
BASE_FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-fvisibility=hidden", "-Icsrc"]
RELEASE_FLAGS = [
    "-O2",
    "-DNDEBUG",
    "-ffunction-sections",
    "-fdata-sections",
    "-fstack-protector-strong",
    "-D_FORTIFY_SOURCE=2",
]


class BuildError(Exception):
    """A reason the build cannot go on, with the remedy, on one line."""


class Missing(BuildError):
    """What is not there, and Debian's packages that have it."""

    def __init__(self, things, packages):
        self.things, self.packages = list(things), list(dict.fromkeys(packages))
        remedy = f": apt-get install {' '.join(self.packages)}" if self.packages else ""
        super().__init__(f"not found: {', '.join(self.things)}{remedy}")


@dataclass
class Library:
    """What it takes to compile and link with a library."""

    version: str
    cflags: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    source_flags: list[str] = field(default_factory=list)
    link: list[str] = field(default_factory=list)


def run(command, **options):
    """Runs a command in the source tree and returns the CompletedProcess, output as text."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)


def compiler(sanitize=""):
    """The compiler's command: $CC, or Python's own, or what the machine has.

    A sanitizer build takes clang, whose reports say more; but clang 14's shared TSan
    runtime crashes as it is loaded, so that for threads it is gcc.
    """
    wanted = [os.environ.get("CC")]
    if sanitize:
        wanted.append("gcc" if "thread" in sanitize else "clang")
    wanted += [sysconfig.get_config_var("CC"), "cc", "gcc", "clang"]
    for command in filter(None, wanted):
        words = shlex.split(command)
        if shutil.which(words[0]):
            # Flags that Python was compiled with are not ours to inherit.
            return words if command == os.environ.get("CC") else words[:1]
    raise Missing(["a C compiler (or set CC)"], ["gcc", "libc6-dev"])


def pkg_config(*arguments):
    """pkg-config's answer as words, or None where it has none."""
    program = os.environ.get("PKG_CONFIG") or shutil.which("pkg-config")
    if not program:
        return None
    answer = run([program, *arguments])
    return shlex.split(answer.stdout) if answer.returncode == 0 else None


def macros(cc, header, cflags):
    """The macros after including a header, by name; None where it cannot be included."""
    command = [*cc, *cflags, "-E", "-dM", "-x", "c", "-include", header, "/dev/null"]
    answer = run(command)
    if answer.returncode:
        return None
    return dict(re.findall(r"^#define (\w+) (.*)$", answer.stdout, re.M))


def python_includes():
    """Folders of this interpreter's headers."""
    return list(dict.fromkeys(sysconfig.get_path(name) for name in ("include", "platinclude")))


def python_flags():
    """Compile flags for them. They are not our code: warnings about them would hide ours."""
    return [flag for folder in python_includes() for flag in ("-isystem", folder)]


def require_python():
    """Raises Missing where this interpreter has no headers."""
    if any(os.path.isfile(os.path.join(folder, "Python.h")) for folder in python_includes()):
        return
    version = sysconfig.get_python_version()
    # No package can mend one that does not come from Debian.
    packages = [f"python{version}-dev"] if sys.base_prefix == "/usr" else []
    raise Missing([f"Python.h of CPython {version} in {sys.base_prefix}"], packages)


def no_libuv():
    return Missing(["libuv"], ["libuv1-dev"])


def no_llhttp():
    try:
        system = Path("/etc/os-release").read_text()
    except OSError:
        system = ""
    old = re.search(r"^VERSION_CODENAME=(bullseye|bookworm)$", system, re.M)
    return Missing(["llhttp"], ["node-llhttp" if old else "libllhttp-dev"])


def no_zlib():
    return Missing(["zlib"], ["zlib1g-dev"])


def toolchain(sanitize=""):
    """The compiler's command, libuv, llhttp and zlib; or one Missing that names all that is not
    there."""
    missing = []

    def attempt(find, *arguments):
        try:
            return find(*arguments)
        except Missing as one:
            missing.append(one)

    cc = attempt(compiler, sanitize)
    attempt(require_python)
    # Without a compiler only headers can be looked for.
    libuv = attempt(find_libuv, cc, sanitize) if cc else attempt(require_header, "uv.h", no_libuv)
    llhttp = attempt(find_llhttp, cc) if cc else attempt(require_header, "llhttp.h", no_llhttp)
    zlib = attempt(find_zlib, cc) if cc else attempt(require_header, "zlib.h", no_zlib)
    if missing:
        raise Missing(
            [thing for one in missing for thing in one.things],
            [package for one in missing for package in one.packages],
        )
    return cc, libuv, llhttp, zlib


def require_header(name, problem):
    folders = ["/usr/include", "/usr/local/include", "/usr/share/include/llhttp"]
    folders += os.environ.get("CPATH", "").split(":")
    if not any(os.path.isfile(os.path.join(folder, name)) for folder in folders):
        raise problem()


def version_of(found, prefix):
    return ".".join(found[f"{prefix}_VERSION_{part}"] for part in ("MAJOR", "MINOR", "PATCH"))


def find_libuv(cc, sanitize="", folder=LIBRARIES):
    """libuv: its static archive where one can go into a shared object, else -luv."""
    cflags = pkg_config("--cflags", "libuv") or []
    found = macros(cc, "uv.h", cflags)
    if not found:
        raise no_libuv()
    library = Library(version_of(found, "UV"), cflags)
    trial = Trial(cc, cflags, LIBUV_TRIAL, folder, ["-lpthread", "-ldl", "-lrt"])
    # For TSan it is a shared library, whose inner locking a suppression can name.
    if "thread" not in sanitize:
        found = archives(cc, ("libuv-static", "libuv"), ("libuv_a.a", "libuv.a"))
        library.link = trial.archive(found)
    if not library.link:
        library.link = trial.shared(pkg_config("--libs", "libuv") or ["-luv"])
    if not library.link:
        raise no_libuv()
    return library


def find_llhttp(cc, folder=LIBRARIES):
    """llhttp: the static archive beside the system's header, as Debian's libllhttp-dev has it;
    else the C sources that node-llhttp installed up to Debian 12; else -lllhttp."""
    cflags = pkg_config("--cflags", "libllhttp") or []
    found = macros(cc, "llhttp.h", cflags)
    library = Library(version_of(found, "LLHTTP"), cflags) if found else None
    trial = Trial(cc, cflags, LLHTTP_TRIAL, folder)
    if library:
        library.link = trial.archive(archives(cc, ("libllhttp",), ("libllhttp.a",)))
        if library.link:
            return library
    sources = [f"/usr/share/llhttp/{name}.c" for name in ("api", "http", "llhttp")]
    # Version 9 dropped the macro and is always strict.
    cflags = ["-I/usr/share/include/llhttp", "-DLLHTTP_STRICT_MODE=1"]
    found = macros(cc, "llhttp.h", cflags)
    if found and all(map(os.path.isfile, sources)):
        # Not our code: its warnings would only hide ours.
        return Library(version_of(found, "LLHTTP"), cflags, sources, ["-w"])
    if library:
        library.link = trial.shared(pkg_config("--libs", "libllhttp") or ["-lllhttp"])
        if library.link:
            return library
    raise no_llhttp()


def find_zlib(cc, folder=LIBRARIES):
    """zlib: its static archive where one can go into a shared object, else -lz."""
    cflags = pkg_config("--cflags", "zlib") or []
    found = macros(cc, "zlib.h", cflags)
    if not found:
        raise no_zlib()
    library = Library(found["ZLIB_VERSION"].strip('"'), cflags)
    trial = Trial(cc, cflags, ZLIB_TRIAL, folder)
    library.link = trial.archive(archives(cc, ("zlib",), ("libz.a",)))
    if not library.link:
        library.link = trial.shared(pkg_config("--libs", "zlib") or ["-lz"])
    if not library.link:
        raise no_zlib()
    return library


def archives(cc, packages, names):
    """Paths of static archives, those beside pkg-config's libraries first."""
    folders = []
    for package in packages:
        folders += pkg_config("--variable=libdir", package) or []
    for name in names:
        printed = run([*cc, f"-print-file-name={name}"]).stdout.strip()
        for path in [os.path.join(folder, name) for folder in folders] + [printed]:
            if os.path.isfile(path):
                yield path


class Trial:
    """Finds out by linking how a library can go into a shared object.

    `source` is C that uses the library, `folder` where changed archives are kept, `system`
    what an archive needs besides.
    """

    def __init__(self, cc, cflags, source, folder, system=()):
        self.cc, self.cflags, self.source = cc, cflags, source
        self.folder, self.system = Path(folder), list(system)

    def archive(self, paths):
        """Link flags with the first archive that will do, as it is or changed; or []."""
        for path in paths:
            for prepared in (as_is, position_independent):
                flags = prepared(self.cc, path, self.folder)
                if flags and self.links([*flags, *self.system]):
                    return [*flags, *self.system]
        return []

    def shared(self, flags):
        """These link flags, or [] where they do not link."""
        return flags if self.links(flags) else []

    def links(self, flags):
        with tempfile.TemporaryDirectory() as scratch:
            source, exports = os.path.join(scratch, "trial.c"), os.path.join(scratch, "exports")
            Path(source).write_text(self.source)
            # As the extension has it: what is not exported may be compiled for programs.
            Path(exports).write_text("{ global: trial; local: *; };\n")
            command = [*self.cc, *self.cflags, "-shared", "-fPIC", source]
            command += ["-o", os.path.join(scratch, "trial.so"), *flags]
            command += [f"-Wl,--version-script={exports}"]
            return run([*command, "-Wl,-z,text", "-Wl,-z,defs"]).returncode == 0


def as_is(cc, archive, folder):
    return [archive]


def position_independent(cc, archive, folder):
    """A copy of an archive compiled with -fPIE, for use in a shared object; None without objcopy.

    Debian's libuv_a.a is such a one. Its code may go anywhere in memory, but it reaches
    variables of libc as only a program can. There are few: they get hidden stand-ins, for
    each archive its own.
    """
    objcopy = shutil.which("objcopy")
    if not objcopy:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W", "_", Path(archive).stem)
    copy, source, stand_ins = (str(folder / f"{name}{end}") for end in (".a", "_vars.c", "_vars.o"))
    renames = [
        f"--redefine-sym={variable}=cw_{name}_{variable}"
        for variable in ("environ", "stderr", "in6addr_any")
    ]
    Path(source).write_text(STAND_INS.replace("NAME", name))
    for command in (
        [objcopy, *renames, archive, copy],
        [*cc, "-O2", "-fPIC", "-D_GNU_SOURCE", "-c", source, "-o", stand_ins],
    ):
        if run(command).returncode:
            return None
    return [stand_ins, copy]


STAND_INS = """\
/* Written by tools/native.py, which says why. */
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>
#define HIDDEN __attribute__((visibility("hidden")))
HIDDEN const struct in6_addr cw_NAME_in6addr_any = IN6ADDR_ANY_INIT;
HIDDEN char **cw_NAME_environ;
HIDDEN FILE *cw_NAME_stderr;
__attribute__((constructor)) static void fill(void) {
  cw_NAME_environ = environ;
  cw_NAME_stderr = stderr;
}
"""

LIBUV_TRIAL = """\
#include <uv.h>
int trial(uv_loop_t *, uv_async_t *, uv_poll_t *, uv_timer_t *, uv_signal_t *);
int trial(uv_loop_t *l, uv_async_t *a, uv_poll_t *p, uv_timer_t *t, uv_signal_t *s) {
  return uv_loop_init(l) | uv_async_init(l, a, 0) | uv_poll_init(l, p, 0) |
         uv_timer_init(l, t) | uv_signal_init(l, s) | uv_run(l, UV_RUN_DEFAULT);
}
"""

LLHTTP_TRIAL = """\
#include <llhttp.h>
int trial(llhttp_t *, const llhttp_settings_t *, const char *);
int trial(llhttp_t *p, const llhttp_settings_t *s, const char *d) {
  llhttp_init(p, HTTP_REQUEST, s);
  return llhttp_execute(p, d, 1) | llhttp_finish(p);
}
"""

ZLIB_TRIAL = """\
#include <zlib.h>
int trial(z_stream *);
int trial(z_stream *s) {
  return deflateInit2(s, 1, Z_DEFLATED, -12, 5, 0) | deflate(s, Z_SYNC_FLUSH) | deflateEnd(s) |
         inflateInit2(s, -15) | inflate(s, Z_SYNC_FLUSH) | inflateEnd(s);
}
"""


def sanitizer_flags(sanitize):
    """Compile and link flags of a -fsanitize= list such as "address,undefined"."""
    flags = [f"-fsanitize={sanitize}", "-O1", "-g", "-fno-omit-frame-pointer", "-DCW_DEBUG=1"]
    if "undefined" in sanitize:
        flags.append("-fno-sanitize-recover=undefined")
    return flags, [f"-fsanitize={sanitize}"]


def environment_flags():
    """Compile and link flags that the caller's environment asks for.

    CWSGI_SANITIZE=address,undefined   a sanitizer build
    CWSGI_DEBUG=1                      debug checks compiled in
    CWSGI_FAULTS=1                     allocations that fail on request (base/fault.h)
    CWSGI_WERROR=1                     warnings are errors
    CWSGI_CFLAGS, CFLAGS, LDFLAGS      appended
    """
    sanitize = os.environ.get("CWSGI_SANITIZE", "")
    debug = os.environ.get("CWSGI_DEBUG", "") not in ("", "0")
    if sanitize:
        compile_flags, link_flags = sanitizer_flags(sanitize)
        if "clang" in compiler(sanitize)[0]:
            # One runtime for the program and the extension, whichever comes first.
            folder = os.path.dirname(runtime(sanitize))
            link_flags += ["-shared-libsan", f"-Wl,-rpath,{folder}"]
    elif debug:
        compile_flags, link_flags = ["-O1", "-g", "-DCW_DEBUG=1"], []
    else:
        compile_flags, link_flags = list(RELEASE_FLAGS), ["-s"]
    if os.environ.get("CWSGI_FAULTS", "") not in ("", "0"):
        compile_flags.append("-DCW_FAULTS=1")
    if os.environ.get("CWSGI_WERROR", "") not in ("", "0"):
        compile_flags.append("-Werror")
    for name in ("CFLAGS", "CWSGI_CFLAGS"):
        compile_flags += shlex.split(os.environ.get(name, ""))
    link_flags += shlex.split(os.environ.get("LDFLAGS", ""))
    return compile_flags, link_flags


def runtime(sanitize):
    """Path of the sanitizer's shared runtime, to preload into a plain interpreter."""
    cc = compiler(sanitize)
    kind = (
        "tsan" if "thread" in sanitize else "asan" if "address" in sanitize else "ubsan_standalone"
    )
    machine = run([*cc, "-dumpmachine"]).stdout.split("-")[0]
    names = [
        f"libclang_rt.{kind}-{machine}.so",
        f"libclang_rt.{kind}.so",
        f"lib{kind.split('_')[0]}.so",
    ]
    for name in names:
        path = run([*cc, f"-print-file-name={name}"]).stdout.strip()
        if os.path.isabs(path) and os.path.exists(path):
            return os.path.realpath(path)
    raise BuildError(f"no shared {kind} runtime: apt-get install clang libclang-rt-dev")


@dataclass
class Python:
    """What a build has to know of the interpreter that it is for."""

    version: str
    library: str  # file name of its shared library, whether or not it has one
    multiarch: str
    flags: list[str]  # to find its headers

    @classmethod
    def running(cls):
        version, library = sysconfig.get_python_version(), sysconfig.get_config_var("INSTSONAME")
        if ".so" not in (library or ""):
            library = f"libpython{version}{sys.abiflags}.so.1.0"
        return cls(version, library, sysconfig.get_config_var("MULTIARCH") or "", python_flags())


def sources_of(*folders):
    names = [source for folder in folders for source in ROOT.glob(f"csrc/{folder}/*.c")]
    return sorted(str(source.relative_to(ROOT)) for source in names)


# What a request does not pass through is compiled to be small: a wheel is downloaded for every
# image that is built. All else is fast.
SMALL = {
    *sources_of("launcher", "supervisor"),  # another process
    # Start and end, settings, what is logged of the server itself, reports that are asked for.
    *(
        f"csrc/base/{name}.c"
        for name in """access_format addr child choices dial fault forked heritage hook_names
        host_port import_string log marks metrics_text options options_completion options_print
        options_read resources schemes signals statsd syslog title""".split()
    ),
    *(
        f"csrc/worker/{name}.c"
        for name in """appref compiled dump faults limits module package show signals trace view
        worker zygote""".split()
    ),
    *(
        f"csrc/http/{name}.c"
        for name in "evict h1_answer probe proxy_header refusals warmup".split()
    ),
    *(f"csrc/http/{name}.c" for name in "ws_accept ws_handshake".split()),  # once a WebSocket
    *(f"csrc/wsgi/{name}.c" for name in "deadline forks".split()),
    "csrc/asgi/state.c",
}
EXTENSION_SOURCES = sources_of("base", "http", "wsgi", "asgi", "worker")
PROGRAM_SOURCES = sources_of("base", "launcher", "supervisor")
LINK = ["-Wl,--gc-sections", "-Wl,-z,relro,-z,now"]
# What libraries call theirs is not for others: the app may have another libuv.
EXPORTS = "{ global: PyInit__core; local: *; };\n"


def version():
    text = (ROOT / "python/cwsgi/_version.py").read_text()
    return re.search(r'^__version__ = "(.*)"$', text, re.M)[1]


class Parts:
    """Builds the extension and the program for one Python, with these flags.

    `small`: what takes the place of -O2 for SMALL; without -O2 nothing does.
    """

    def __init__(self, cc, libuv, llhttp, zlib, python, flags, link, small=("-Os",)):
        self.cc, self.libuv, self.llhttp, self.zlib = cc, libuv, llhttp, zlib
        self.python, self.flags, self.link = python, list(flags), link
        self.small = self.flags
        if "-O2" in self.flags:
            # The first: one of $CFLAGS comes later, and goes for all.
            at = self.flags.index("-O2")
            self.small = [*self.flags[:at], *small, *self.flags[at + 1 :]]

    def compile(self, sources, *flags):
        """Objects of our own sources."""
        fast = [source for source in sources if source not in SMALL]
        small = [source for source in sources if source in SMALL]
        objects = self.builder(self.flags, *flags).compile(fast)
        return objects + self.builder(self.small, *flags).compile(small)

    def builder(self, optimized, *flags):
        defines = {
            "CW_VERSION": version(),
            "CW_PY_VERSION": self.python.version,
            "CW_PY_LIBRARY": self.python.library,
            "CW_PY_MULTIARCH": self.python.multiarch,
            "CW_UV_VERSION": self.libuv.version,
            "CW_LLHTTP_VERSION": self.llhttp.version,
            "CW_ZLIB_VERSION": self.zlib.version,
        }
        named = [f'-D{name}="{value}"' for name, value in defines.items()]
        return Builder(self.cc, [*BASE_FLAGS, *WARNINGS, *flags, *optimized, *named])

    def extension(self, target):
        libraries = (self.libuv, self.llhttp, self.zlib)
        flags = [flag for library in libraries for flag in library.cflags]
        flags = ["-fPIC", *self.python.flags, *flags]
        builder = self.builder(self.flags, *flags)
        objects = self.compile(EXTENSION_SOURCES, *flags)
        for library in libraries:
            # The same for all Pythons: in a folder of their own.
            flags = [*BASE_FLAGS, "-fPIC", *library.cflags, *library.source_flags, *self.flags]
            objects += Builder(self.cc, flags).compile(library.sources)
        found = [flag for library in libraries for flag in library.link]
        exports = f"-Wl,--version-script={builder.folder / 'exports'}"
        (builder.folder / "exports").write_text(EXPORTS)
        link = ["-shared", "-Wl,--as-needed", *found, "-lpthread", exports]
        builder.link(target, objects, [*link, *LINK, *self.link])

    def program(self, target):
        link = ["-pie", "-Wl,--as-needed", "-ldl", "-lpthread", *LINK, *self.link]
        objects = self.compile(PROGRAM_SOURCES, "-fPIE")
        self.builder(self.flags, "-fPIE").link(target, objects, link)


@functools.cache
def hold_tree():
    """Waits until no other process builds in this tree, and keeps others waiting until this one
    ends: they share the folder build.
    """
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    lock = open(folder / ".lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


class Builder:
    """Compiles into one folder of its own, only what changed."""

    def __init__(self, cc, flags, folder=None):
        self.cc, self.flags = list(cc), list(flags)
        if folder is None:
            # Another compiler or other flags: another folder, so nothing stale is linked.
            identity = run([*cc, "--version"]).stdout + "\0".join([*cc, *flags])
            folder = ROOT / "build" / "obj" / hashlib.sha256(identity.encode()).hexdigest()[:16]
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def compile(self, sources, extra=()):
        """Compiles sources in parallel; returns the objects' paths, in order."""
        workers = len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(lambda source: self._compile(str(source), list(extra)), sources))

    def _compile(self, source, extra):
        target = self.folder / (source.strip("/").replace("/", "-") + ".o")
        if not self._fresh(source, target):
            command = [*self.cc, *self.flags, *extra, "-MMD", "-c", source, "-o", str(target)]
            check(command, f"could not compile {source}")
        return str(target)

    def _fresh(self, source, target):
        """Whether the object is newer than everything its dependency file names."""
        try:
            text = target.with_suffix(".d").read_text()
            made = target.stat().st_mtime_ns
            inputs = text.split(":", 1)[1].replace("\\\n", " ").split()
            return source in inputs and all(
                (ROOT / name).stat().st_mtime_ns < made for name in inputs
            )
        except (OSError, IndexError):
            return False

    def link(self, target, objects, flags):
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        check([*self.cc, *objects, "-o", str(target), *flags], f"could not link {target}")
        return str(target)


def check(command, complaint):
    """Runs a command, shows what it said, and raises BuildError where it failed."""
    answer = run(command)
    output = (answer.stdout + answer.stderr).strip()
    if answer.returncode:
        raise BuildError(f"{complaint}:\n{shlex.join(command)}\n{output}")
    if output:
        print(output, flush=True)
