"""A thread that nobody ends: the process does not end by itself."""

import threading

threading.Thread(target=threading.Event().wait, name="stays").start()


def app(environ, start_response):
    start_response("200 OK", [])
    return [b""]
