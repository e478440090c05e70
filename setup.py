"""Builds the extension cwsgi._core and the program cwsgi; the rest is in pyproject.toml.

Environment variables that change the build are listed in tools/native.py.
"""

import functools
import os
import re
import shutil
import sys
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


@functools.cache
def parts():
    sanitize = os.environ.get("CWSGI_SANITIZE", "")
    found = native.toolchain(sanitize)
    return native.Parts(*found, native.Python.running(), *native.environment_flags())


def building(step, target):
    """Builds one of the parts; what stops it is one plain message, no traceback."""
    native.hold_tree()
    try:
        getattr(parts(), step)(target)
    except native.BuildError as error:
        sys.exit(f"cwsgi: {error}")


class BuildPackage(build_py):
    def run(self):
        native.hold_tree()
        # A module that was removed since an earlier build must not be installed.
        if not self.editable_mode:
            shutil.rmtree(os.path.join(self.build_lib, "cwsgi"), ignore_errors=True)
        super().run()


class BuildExtension(build_ext):
    """Compiles with our own rules: in parallel, and again only where something changed."""

    def build_extension(self, ext):
        building("extension", os.path.abspath(self.get_ext_fullpath(ext.name)))


class BuildProgram(Command):
    """Takes the place of build_scripts, which can only copy Python scripts."""

    description = "build the program"
    user_options = [("build-dir=", "d", "folder to build in")]

    def initialize_options(self):
        self.build_dir = None

    def finalize_options(self):
        self.set_undefined_options("build", ("build_scripts", "build_dir"))

    def get_source_files(self):
        return native.PROGRAM_SOURCES + HEADERS

    def run(self):
        building("program", os.path.join(self.build_dir, PROGRAM))


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


def readme():
    """README.md for an index's page, beside which none of the tree's files are.

    A link to one becomes its words and the file's name; absolute links stay.
    """

    def spelled(link):
        words, file = link.groups()
        return words if words.rstrip("/") == file else f"{words} ({file})"

    text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    return re.sub(r"\[([^]]+)\]\((?![a-z]+:|#)([^)]+)\)", spelled, text)


setup(
    long_description=readme(),
    long_description_content_type="text/markdown",
    ext_modules=[Extension("cwsgi._core", native.EXTENSION_SOURCES, depends=HEADERS)],
    scripts=[PROGRAM],
    cmdclass={
        "build_py": BuildPackage,
        "build_ext": BuildExtension,
        "build_scripts": BuildProgram,
        "install_scripts": InstallProgram,
    },
)
