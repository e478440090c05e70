"""Wrong ways to use cwsgi.after_response()."""

import threading

import cwsgi
from common import App, text

app = App()


def attempt(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "nothing"


@app.route("/thread")
def in_thread(environ, start_response):
    found = []
    thread = threading.Thread(
        target=lambda: found.append(attempt(lambda: cwsgi.after_response(print)))
    )
    thread.start()
    thread.join()
    return text(start_response, found[0])


@app.route("/nothing")
def nothing(environ, start_response):
    return text(start_response, attempt(lambda: cwsgi.after_response(3)))
