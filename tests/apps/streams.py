"""wsgi.errors, stdout and logging, from many threads at once."""

import io
import logging
import sys
import threading
from wsgiref.validate import validator

from common import App, query, text

app = App()


@app.route("/write")
def write(environ, start_response):
    errors = environ["wsgi.errors"]
    errors.write("plain line\n")
    errors.write("caf\xe9 \u20ac \U0001f40d\n")
    errors.write("surrogate \udcff end\n")
    errors.writelines(["first\n", "second\n"])
    errors.write("no end yet; ")
    errors.flush()
    errors.write("now it ends\n")
    errors.flush()
    return text(start_response, "ok")


@app.route("/unended")
def unended(environ, start_response):
    environ["wsgi.errors"].write("line without an end")
    return text(start_response, "ok")


@app.route("/print")
def prints(environ, start_response):
    print("printed to errors", file=environ["wsgi.errors"])
    print("printed to stdout")
    print("printed to stderr", file=sys.stderr)
    return text(start_response, "ok")


@app.route("/bad-type")
def bad_type(environ, start_response):
    try:
        environ["wsgi.errors"].write(b"bytes")
    except TypeError:
        return text(start_response, "TypeError")
    return text(start_response, "no error")


@app.route("/many")
def many(environ, start_response):
    """8 threads write 200 lines each, of very different lengths."""
    errors, name = environ["wsgi.errors"], query(environ)["name"]

    def lines(number):
        for count in range(200):
            filler = chr(ord("a") + number) * (count * 7 % 900)
            errors.write(f"<{name} {number} {count} {filler}>\n")

    threads = [threading.Thread(target=lines, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return text(start_response, "ok")


@app.route("/logging")
def logs(environ, start_response):
    handler = logging.StreamHandler(environ["wsgi.errors"])
    logger = logging.getLogger("streams")
    logger.addHandler(handler)
    logger.warning("logged %s", "warning")
    try:
        raise ValueError("logged exception")
    except ValueError:
        logger.exception("with traceback")
    logger.removeHandler(handler)
    return text(start_response, "ok")


@app.route("/keep")
def keep(environ, start_response):
    """The stream stays usable after the request (a logging handler may hold it)."""
    app.kept = environ["wsgi.errors"]
    return text(start_response, "ok")


@app.route("/use-kept")
def use_kept(environ, start_response):
    thread = threading.Thread(target=app.kept.write, args=("written much later\n",))
    thread.start()
    thread.join()
    return text(start_response, "ok")


@app.route("/large")
def large(environ, start_response):
    environ["wsgi.errors"].write("<large " + "x" * 1_000_000 + ">\n")
    return text(start_response, "ok")


def simple(environ, start_response):
    errors = environ["wsgi.errors"]
    errors.write("checked\n")
    errors.writelines(["checked\n"])
    errors.flush()
    return text(start_response, io.BytesIO(b"ok").read())


checked = validator(simple)
