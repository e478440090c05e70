"""Builds the extension cwsgi._core and the program cwsgi; the rest is in pyproject.toml.

Environment variables that change the build are listed in tools/native.py.
"""

import functools
import os
import re
import shutil
import sys
import sysconfig
from glob import glob
from pathlib import Path

from setuptools import Command, Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.install_scripts import install_scripts

sys.path.insert(0, str(Path(__file__).resolve().parent / "tools"))
import native

PROGRAM = "cwsgi"
HEADERS = sorted(glob("csrc/*/*.h"))


def sources_of(*folders):
    return sorted(source for folder in folders for source in glob(f"csrc/{folder}/*.c"))


EXTENSION_SOURCES = sources_of("base", "http", "wsgi", "worker")
PROGRAM_SOURCES = sources_of("base", "launcher", "supervisor")


def version():
    text = Path("python/cwsgi/_version.py").read_text()
    return re.search(r'^__version__ = "(.*)"$', text, re.M)[1]


def python_library():
    """File name of the building Python's shared library, whether or not it has one."""
    name = sysconfig.get_config_var("INSTSONAME") or ""
    if ".so" in name:
        return name
    return f"libpython{sysconfig.get_python_version()}{sys.abiflags}.so.1.0"


@functools.cache
class Native:
    """What both parts are built with: compiler, libraries, defines."""

    def __init__(self):
        sanitize = os.environ.get("CWSGI_SANITIZE", "")
        self.cc, self.libuv, self.llhttp = native.toolchain(sanitize)
        self.flags, self.link = native.environment_flags()

    def builder(self, *flags):
        defines = {
            "CW_VERSION": version(),
            "CW_PY_VERSION": sysconfig.get_python_version(),
            "CW_PY_LIBRARY": python_library(),
            "CW_PY_MULTIARCH": sysconfig.get_config_var("MULTIARCH") or "",
            "CW_UV_VERSION": self.libuv.version,
            "CW_LLHTTP_VERSION": self.llhttp.version,
        }
        return native.Builder(
            self.cc,
            [
                *native.BASE_FLAGS,
                *native.WARNINGS,
                *flags,
                *self.flags,
                *(f'-D{name}="{value}"' for name, value in defines.items()),
            ],
        )

    def build_extension(self, target):
        builder = self.builder(
            "-fPIC",
            *native.python_flags(),
            *self.libuv.cflags,
            *self.llhttp.cflags,
        )
        objects = builder.compile(EXTENSION_SOURCES)
        objects += builder.compile(self.llhttp.sources, self.llhttp.source_flags)
        builder.link(
            target,
            objects,
            [
                "-shared",
                "-Wl,--as-needed",
                *self.libuv.link,
                *self.llhttp.link,
                "-lpthread",
                "-Wl,--exclude-libs,ALL",
                "-Wl,--gc-sections",
                "-Wl,-z,relro,-z,now",
                *self.link,
            ],
        )

    def build_program(self, target):
        builder = self.builder("-fPIE")
        builder.link(
            target,
            builder.compile(PROGRAM_SOURCES),
            [
                "-pie",
                "-Wl,--as-needed",
                "-ldl",
                "-lpthread",
                "-Wl,--gc-sections",
                "-Wl,-z,relro,-z,now",
                *self.link,
            ],
        )


def building(step, target):
    """Runs one of Native's steps; what stops it is one plain message, no traceback."""
    try:
        getattr(Native(), step)(target)
    except native.BuildError as error:
        sys.exit(f"cwsgi: {error}")


class BuildPackage(build_py):
    def run(self):
        # A module that was removed since an earlier build must not be installed.
        if not self.editable_mode:
            shutil.rmtree(os.path.join(self.build_lib, "cwsgi"), ignore_errors=True)
        super().run()


class BuildExtension(build_ext):
    """Compiles with our own rules: in parallel, and again only where something changed."""

    def build_extension(self, ext):
        building("build_extension", os.path.abspath(self.get_ext_fullpath(ext.name)))


class BuildProgram(Command):
    """Takes the place of build_scripts, which can only copy Python scripts."""

    description = "build the program"
    user_options = [("build-dir=", "d", "folder to build in")]

    def initialize_options(self):
        self.build_dir = None

    def finalize_options(self):
        self.set_undefined_options("build", ("build_scripts", "build_dir"))

    def get_source_files(self):
        return PROGRAM_SOURCES + HEADERS

    def run(self):
        building("build_program", os.path.join(self.build_dir, PROGRAM))


class InstallProgram(install_scripts):
    def run(self):
        self.run_command("build_scripts")
        built = self.get_finalized_command("build_scripts").build_dir
        self.mkpath(self.install_dir)
        target = os.path.join(self.install_dir, PROGRAM)
        # An editable install builds right where it installs from.
        if os.path.abspath(built) != os.path.abspath(self.install_dir):
            shutil.copy(os.path.join(built, PROGRAM), target)
        os.chmod(target, 0o755)
        self.outfiles = [target]


setup(
    ext_modules=[Extension("cwsgi._core", EXTENSION_SOURCES, depends=HEADERS)],
    scripts=[PROGRAM],
    cmdclass={
        "build_py": BuildPackage,
        "build_ext": BuildExtension,
        "build_scripts": BuildProgram,
        "install_scripts": InstallProgram,
    },
)
