"""Starts a thread as it is imported."""

import threading

threading.Thread(target=threading.Event().wait, name="poller", daemon=True).start()


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
