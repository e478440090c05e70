"""An app whose import waits for the test."""

import os

from common import STATE, mark, text, wait_gate

mark("importing", os.getpid())
wait_gate("import")
if (STATE / "gate-fail").exists():
    raise RuntimeError("import went wrong")
mark("imported", os.getpid())


def app(environ, start_response):
    return text(start_response, "imported")
