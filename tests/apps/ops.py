"""An app to operate: tells who it is, waits, grows, crashes, and changes with a file."""

import os
import sys
import threading
import time

from common import STATE, App, answer_json, mark, query, text, wait_gate

VERSION = "1"
if (STATE / "version").exists():
    VERSION = (STATE / "version").read_text().strip()
if VERSION == "broken":
    raise RuntimeError("this version is broken")

IMPORTED_IN = os.getpid()
mark("imported", f"{os.getpid()} {VERSION}")
hoard = []
app = App()


@app.route("/who")
def who(environ, start_response):
    return answer_json(
        start_response,
        {
            "pid": os.getpid(),
            "ppid": os.getppid(),
            "version": VERSION,
            "imported_in": IMPORTED_IN,
            "script_name": environ["SCRIPT_NAME"],
            "path_info": environ["PATH_INFO"],
            "uid": os.getuid(),
            "gid": os.getgid(),
            "groups": os.getgroups(),
            "umask": _umask(),
            "threads": [thread.name for thread in threading.enumerate()],
            "argv": sys.argv,
        },
    )


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@app.route("/wait")
def wait(environ, start_response):
    mark("waiting", str(os.getpid()))
    wait_gate(query(environ).get("gate", "wait"))
    return text(start_response, "waited")


@app.route("/sleep")
def sleep(environ, start_response):
    time.sleep(float(query(environ)["s"]))
    return text(start_response, "slept")


@app.route("/spin")
def spin(environ, start_response):
    mark("spinning")
    while True:
        pass


@app.route("/clean-up")
def clean_up(environ, start_response):
    import cwsgi

    try:
        while True:
            time.sleep(0.01)
    except cwsgi.RequestTimeout as error:
        mark("cleaned-up", f"{type(error).__name__} {isinstance(error, Exception)}")
        raise


@app.route("/grow")
def grow(environ, start_response):
    hoard.append(bytearray(int(query(environ)["mb"]) * 1024 * 1024))
    return text(start_response, "grown")


@app.route("/random")
def rand(environ, start_response):
    import random

    return text(start_response, str(random.random()))


@app.route("/after")
def after(environ, start_response):
    import cwsgi

    cwsgi.after_response(_after, "first", n=1)
    cwsgi.after_response(_fails)
    cwsgi.after_response(_after, "last", n=2)
    return text(start_response, "answered")


def _after(name, n):
    wait_gate("after")
    mark("after", f"{name} {n}")


def _fails():
    raise RuntimeError("after_response goes wrong")


@app.route("/hints")
def hints(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload"), (b"X-Bytes", b"yes")])
    return text(start_response, "final")


@app.route("/print")
def prints(environ, start_response):
    print("printed", environ["QUERY_STRING"])
    print("complained", environ["QUERY_STRING"], file=sys.stderr)
    return text(start_response, "printed")


@app.route("/file")
def file(environ, start_response):
    """Tells afterwards how far the file was read: sendfile(2) leaves its position alone."""
    import cwsgi

    opened = open(__file__, "rb")
    copy = os.dup(opened.fileno())
    cwsgi.after_response(lambda: mark("read", os.lseek(copy, 0, os.SEEK_CUR)))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](opened)


@app.route("/status")
def status(environ, start_response):
    return text(start_response, "as asked", query(environ)["line"].replace("+", " "))
