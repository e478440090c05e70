"""An app that starts a thread at import and has something to do at forks."""

import os
import threading

from common import mark, text

stop = threading.Event()
threading.Thread(target=stop.wait, name="counts-things", daemon=True).start()
os.register_at_fork(after_in_child=lambda: mark("at-fork", os.getpid()))


def app(environ, start_response):
    return text(start_response, "fine")
