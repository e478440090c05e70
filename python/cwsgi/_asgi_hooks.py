"""pre_request and post_request around ASGI apps. Imported only where one of them is defined."""

from http import HTTPStatus

from ._hooks import _key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from ._hooks import WorkerHooks

    App = Callable[[Any, Any, Any], Awaitable[None]]

_HEADS = ("http.response.start", "websocket.http.response.start")


class Hooked:
    """An app that has the hooks called around each request, a WebSocket's whole life included.

    Hooks see a request as they see a WSGI app's: `environ` has the keys of CGI and the scope as
    ``asgi.scope``. What pre_request sets goes to the scope; a body cannot be set.
    """

    def __init__(self, app: "App", hooks: "WorkerHooks") -> None:
        self.app, self.hooks = app, hooks

    async def __call__(self, scope: "Any", receive: "Any", send: "Any") -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        environ = environ_of(scope)
        before = environ.copy()
        request = self.hooks.pre_request(environ)
        carry_over(before, environ, scope)
        status: str | None = None
        headers: list[tuple[str, str]] | None = None

        async def noting(message: "Any") -> None:
            nonlocal status, headers
            await send(message)
            if message["type"] in _HEADS:
                status = status_line(message["status"])
            elif message["type"] == "websocket.accept":
                status = status_line(101)
            else:
                return
            headers = [(_text(name), _text(value)) for name, value in message.get("headers") or ()]

        try:
            await self.app(scope, receive, noting)
        finally:
            self.hooks.post_request(request, environ, status, headers)


def status_line(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def _text(value: "bytes | str") -> str:
    return value if isinstance(value, str) else bytes(value).decode("latin-1")


def environ_of(scope: "dict[str, Any]") -> "dict[str, Any]":
    """Return what PEP 3333 has of a request; ``wsgi.input`` is None."""
    query = scope["query_string"].decode("latin-1")
    target = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
    prefix = scope["root_path"]
    path = scope["path"]
    client = scope["client"] or ("", "")
    server = scope["server"] or ("", "")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.get("method", "GET"),
        "SCRIPT_NAME": _native(prefix),
        "PATH_INFO": _native(path.removeprefix(prefix)),
        "QUERY_STRING": query,
        "RAW_URI": target,
        "REQUEST_URI": target,
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": str(server[0]),
        "SERVER_PORT": str(server[1]),
        "REMOTE_ADDR": str(client[0]),
        "REMOTE_PORT": str(client[1]),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": None,
        "asgi.scope": scope,
    }
    for name, value in scope["headers"]:
        key, text = _key_of(name), value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


def _native(text: str) -> str:
    """Return bytes in the disguise of str that PEP 3333 wants."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def _unicode(text: str) -> str:
    return text.encode("latin-1").decode("utf-8", "replace")


def _fields(environ: "dict[str, Any]") -> "dict[str, str]":
    return {
        key: value
        for key, value in environ.items()
        if key.startswith("HTTP_") or key in ("CONTENT_TYPE", "CONTENT_LENGTH")
    }


def carry_over(
    before: "dict[str, Any]", environ: "dict[str, Any]", scope: "dict[str, Any]"
) -> None:
    """Change in the scope what a hook has changed in the environ."""

    # What a hook has deleted, but for fields, stays as it was.
    environ = {**{key: before[key] for key in before.keys() - _fields(before).keys()}, **environ}

    def changed(*keys: str) -> bool:
        return any(before[key] != environ[key] for key in keys)

    if changed("REQUEST_METHOD"):
        scope["method"] = environ["REQUEST_METHOD"].upper()
    if changed("SCRIPT_NAME", "PATH_INFO"):
        path = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
        scope["root_path"] = _unicode(environ["SCRIPT_NAME"])
        scope["path"] = _unicode(path)
    if changed("RAW_URI"):
        scope["raw_path"] = environ["RAW_URI"].partition("?")[0].encode("latin-1")
    if changed("QUERY_STRING"):
        scope["query_string"] = environ["QUERY_STRING"].encode("latin-1")
    if changed("wsgi.url_scheme"):
        scope["scheme"] = environ["wsgi.url_scheme"]
    if changed("SERVER_PROTOCOL"):
        scope["http_version"] = environ["SERVER_PROTOCOL"].rpartition("/")[2]
    old, new = _fields(before), _fields(environ)
    gone = {key for key in old if key not in new or old[key] != new[key]}
    if not gone and old.keys() == new.keys():
        return
    scope["headers"] = [
        (name, value) for name, value in scope["headers"] if _key_of(name) not in gone
    ] + [
        (key.removeprefix("HTTP_").replace("_", "-").lower().encode(), value.encode("latin-1"))
        for key, value in new.items()
        if key not in old or key in gone
    ]


def _key_of(name: bytes) -> str:
    return _key(name.decode("latin-1"))
