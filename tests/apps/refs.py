"""Apps to be named in every form of reference."""

import json
import os
import sys
from wsgiref.validate import validator

from common import mark, text

mark("imported", os.getpid())


def saying(words):
    @validator
    def app(environ, start_response):
        return text(start_response, words)

    return app


application = saying("application")
app = saying("app")
other = saying("other")
number = 5
nothing = None


class Nested:
    app = staticmethod(saying("nested"))

    class Deeper:
        app = staticmethod(saying("deeper"))


class Method:
    def __init__(self):
        self.words = "method"

    def handle(self, environ, start_response):
        return text(start_response, self.words)

    def __call__(self, environ, start_response):
        return text(start_response, "instance")


instance = Method()


def factory(*args, **kwargs):
    mark("made", os.getpid())
    return saying(json.dumps([args, kwargs]))


def strict_factory(name, size=1):
    return saying(f"{name} {size}")


def failing_factory():
    raise RuntimeError("factory went wrong")


def number_factory():
    return 5


def info(environ, start_response):
    """What the app sees of its surroundings."""
    value = {"path": sys.path, "cwd": os.getcwd(), "env": dict(os.environ), "argv": sys.argv}
    return text(start_response, json.dumps(value))
