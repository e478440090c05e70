"""Tells what the interpreter is like; run as a program it prints the same."""

import json
import locale
import multiprocessing
import os
import signal
import site
import subprocess
import sys
import threading


def facts():
    main = sys.modules["__main__"]
    return {
        "executable": sys.executable,
        "base_executable": getattr(sys, "_base_executable", None),
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "exec_prefix": sys.exec_prefix,
        "base_exec_prefix": sys.base_exec_prefix,
        "platlibdir": sys.platlibdir,
        "version": sys.version,
        "path": sys.path,
        "flags": {
            name: getattr(sys.flags, name)
            for name in dir(sys.flags)
            if not name.startswith(("_", "n_")) and name not in ("count", "index", "unbuffered")
        },
        "warnoptions": sys.warnoptions,
        "xoptions": {key: str(value) for key, value in sys._xoptions.items()},
        "dont_write_bytecode": sys.dont_write_bytecode,
        "pycache_prefix": sys.pycache_prefix,
        "hash": hash("a string whose hash depends on the seed"),
        "site": "site" in sys.modules,
        "user_site": site.ENABLE_USER_SITE,
        "site_packages": site.getsitepackages(),
        "pth": getattr(sys, "test_pth_ran", None),
        "filesystem_encoding": [sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()],
        "preferred_encoding": locale.getpreferredencoding(False),
        "lc_ctype": locale.setlocale(locale.LC_CTYPE),
        "stdout": [sys.stdout.encoding, sys.stdout.errors],
        "stderr": [sys.stderr.encoding, sys.stderr.errors],
        "stdin": [sys.stdin.encoding, sys.stdin.errors],
        "recursion": sys.getrecursionlimit(),
        "switch": sys.getswitchinterval(),
        "builtin": sorted(sys.builtin_module_names),
        "main": [main.__name__, type(main).__name__, hasattr(main, "__builtins__")],
        "sigpipe": str(signal.getsignal(signal.SIGPIPE)),
        "lc_ctype_variable": os.environ.get("LC_CTYPE"),
        "main_thread": threading.main_thread().ident == threading.get_ident(),
    }


# The import runs on the main thread in both cases; a handler need not.
FACTS = facts()


def square(number):
    return number * number


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/spawn":
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            value = pool.map(square, range(5))
    elif path == "/descriptors":
        code = "import os\nfor fd in os.listdir('/proc/self/fd'):\n"
        code += " try: print(fd, os.readlink('/proc/self/fd/' + fd))\n except OSError: pass\n"
        command = [sys.executable, "-S", "-c", code]
        value = subprocess.check_output(command, close_fds=False, text=True).splitlines()
    elif path == "/subprocess":
        command = [sys.executable, "-c", "import sys; print(sys.prefix, sys.flags.isolated)"]
        value = subprocess.check_output(command, text=True).split()
    elif path == "/argv":
        value = sys.argv
    elif path == "/modules":
        value = sorted(sys.modules)
    elif path == "/stdin":
        value = sys.stdin.read()
    else:
        value = FACTS
    data = json.dumps(value).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [data]


if __name__ == "__main__":
    print(json.dumps(FACTS))
