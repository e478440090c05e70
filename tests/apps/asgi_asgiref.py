"""What asgiref offers around apps, and its types held against what the server hands in."""

import asyncio
import collections.abc
import contextvars
import json
import threading
import types
import typing

import asgiref.typing
import asgisocket
from asgiapp import answer, body_of, lifespan
from asgiref.compatibility import guarantee_single_callable
from asgiref.local import Local
from asgiref.sync import (
    ThreadSensitiveContext,
    async_to_sync,
    iscoroutinefunction,
    sync_to_async,
)
from asgiref.wsgi import WsgiToAsgi
from common import answer_json, mark, query, text

# ---- a WSGI app, bare and wrapped ----


def dump(environ, start_response):
    plain = {key: value for key, value in environ.items() if isinstance(value, str)}
    return answer_json(start_response, plain)


def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("201 Created", [("X-Length", str(len(body))), ("X-Length", "twice")])
    return [body[:10], body[10:]]


def stream(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    for number in range(int(query(environ)["n"])):
        yield b"%d\n" % number


def length(environ, start_response):
    return text(start_response, "ten bytes!", headers=[("Content-Length", "10")])


def raises(environ, start_response):
    raise ValueError("deliberate")


def thread(environ, start_response):
    main = threading.current_thread() is threading.main_thread()
    return answer_json(start_response, {"main": main})


WSGI = {"/" + f.__name__: f for f in (dump, echo, stream, length, raises, thread)}


def wsgi(environ, start_response):
    return WSGI[environ["PATH_INFO"]](environ, start_response)


wrapped = WsgiToAsgi(wsgi)


# ---- ASGI 2 ----


class Old:
    """Two calls, as ASGI 2 had it."""

    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        await answer(send, self.scope["path"])


old = guarantee_single_callable(Old)


# ---- code that is not async ----

name = contextvars.ContextVar("name", default="nobody")
local = Local()
shared = {}


def who():
    return name.get(), getattr(local, "value", None), threading.current_thread().name


async def contexts(scope, receive, send):
    """There and back again: variables, asgiref's own, exceptions."""
    mine = scope["query_string"].decode()
    before = (name.get(), hasattr(local, "value"))
    name.set(mine)
    local.value = mine
    inside = await sync_to_async(who)()

    def change():
        name.set(mine + " changed")

    await sync_to_async(change)()

    def back():
        async def where():
            return threading.current_thread() is threading.main_thread(), name.get()

        return async_to_sync(where)()

    def fail():
        raise KeyError("from the thread")

    crossed = await sync_to_async(back)()
    try:
        await sync_to_async(fail)()
    except KeyError as error:
        failure = str(error)
    got = [before, inside[:2], name.get(), crossed, failure]
    await answer(send, json.dumps(got))


async def sensitive(scope, receive, send):
    """The thread of code that must not meet others of its kind; its own in a context."""
    one, two = await sync_to_async(who)(), await sync_to_async(who)()
    async with ThreadSensitiveContext():
        own = await sync_to_async(who)(), await sync_to_async(who)()
    await answer(send, json.dumps([one[2], two[2], own[0][2], own[1][2]]))


async def alone(scope, receive, send):
    """Notices another one beside it."""

    def work():
        assert shared.setdefault("inside", who()[2]) == who()[2]
        entered.wait(0.001)
        shared.clear()
        return "alone"

    entered = threading.Event()
    await answer(send, await sync_to_async(work)())


async def together(scope, receive, send):
    """Ends when both of its requests are in their threads at once."""

    def meet():
        meeting.wait(20)
        return "met"

    await answer(send, await sync_to_async(meet, thread_sensitive=False)())


meeting = threading.Barrier(2)


# ---- asgiref's types ----

TYPES = {
    typing.get_args(typing.get_type_hints(one)["type"])[0]: one
    for one in (
        *typing.get_args(asgiref.typing.Scope),
        *typing.get_args(asgiref.typing.ASGIReceiveEvent),
    )
}


def faults_of(value, wanted, where):
    """What of a value is not of its type; one line each."""
    origin, args = typing.get_origin(wanted), typing.get_args(wanted)
    if str(origin).endswith("NotRequired"):
        return faults_of(value, args[0], where)
    if typing.is_typeddict(wanted):
        return faults_of_dict(value, wanted, where)
    if wanted in (typing.Any, object):
        return []
    if origin is typing.Literal:
        return [] if value in args else [f"{where}: {value!r} is none of {args}"]
    if origin in (typing.Union, types.UnionType):
        found = [faults_of(value, one, where) for one in args]
        return [] if [] in found else found[0]
    if origin is tuple:
        if type(value) not in (tuple, list) or len(value) != len(args):
            return [f"{where}: {value!r} is no {wanted}"]
        pairs = zip(value, args, strict=True)
        return [one for v, a in pairs for one in faults_of(v, a, where)]
    if origin is dict:
        found = [] if type(value) is dict else [f"{where}: {value!r} is no dict"]
        for key in value:
            found += faults_of(key, args[0], where) + faults_of(value[key], args[1], where)
        return found
    if origin is collections.abc.Iterable:
        return [one for item in value for one in faults_of(item, args[0], where)]
    return [] if type(value) is (wanted or type(None)) else [f"{where}: {value!r} is no {wanted}"]


def faults_of_dict(value, wanted, where):
    found = []
    for key, kind in typing.get_type_hints(wanted).items():
        if key in value:
            found += faults_of(value[key], kind, f"{where}[{key}]")
        elif type(None) not in typing.get_args(kind) and key in wanted.__required_keys__:
            found.append(f"{where}: no {key}")
    unknown = value.keys() - typing.get_type_hints(wanted).keys()
    return found + [f"{where}: {key} is unknown" for key in sorted(unknown)]


def check(value, where):
    for fault in faults_of(value, TYPES[value["type"]], where):
        mark("faults", fault)
    mark("checked", value["type"])


ROUTES = {"/contexts": contexts, "/sensitive": sensitive, "/alone": alone, "/together": together}


async def typed(scope, receive, send):
    """Every scope and every message, held against their types; what carries them, too."""
    check(scope, scope["type"])
    for one in (receive, send):
        if not iscoroutinefunction(one):
            mark("faults", f"{scope['type']}: {one!r} is no coroutine function")

    async def received():
        message = await receive()
        check(message, message["type"])
        return message

    if scope["type"] == "lifespan":
        return await lifespan(scope, received, send)
    if scope["type"] == "websocket":
        return await asgisocket.app(scope, received, send)
    if scope["path"] == "/left":
        while (await received())["type"] != "http.disconnect":
            await asyncio.sleep(0)
        return None
    return await answer(send, await body_of(received))


async def app(scope, receive, send):
    if scope["type"] == "http" and scope["path"] in ROUTES:
        return await ROUTES[scope["path"]](scope, receive, send)
    return await typed(scope, receive, send)
