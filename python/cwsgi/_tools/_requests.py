"""What `cwsgi tune` sends: paths, a file of them, a HAR of a browser, or an access log."""

import json
import os
import re
import string
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from . import ToolError

SAFE = ("GET", "HEAD", "OPTIONS")
METHOD = re.compile(r"[A-Z]{3,12}$")
# The request line within an access log's line, in quotes as the usual formats have it.
LOGGED = re.compile(r'"([A-Z]{3,12}) (/\S*) HTTP/\d(?:\.\d)?"')
ORIGIN = re.compile("https?://[^/?]*")
# Fields of a browser's request that matter to an app; the others are of its connection.
FIELDS = (
    "accept", "accept-language", "authorization", "content-type", "cookie", "origin", "referer",
    "user-agent", "x-csrftoken", "x-requested-with",
)  # fmt: skip
MOST = 20_000  # requests that are kept; they are sent in turn


class Request(NamedTuple):
    method: str
    path: str
    fields: "tuple[tuple[str, str], ...]" = ()
    body: bytes = b""

    def name(self) -> str:
        """Return what is shown of it: no query, where tokens may be."""
        return f"{self.method} {self.path.partition('?')[0]}"

    def encode(self, host: str) -> bytes:
        fields = [("Host", host), *self.fields]
        if self.body or self.method in ("POST", "PUT", "PATCH"):
            fields.append(("Content-Length", str(len(self.body))))
        if not any(name.lower() == "user-agent" for name, _ in self.fields):
            fields.append(("User-Agent", "cwsgi-tune"))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        return f"{self.method} {self.path} HTTP/1.1\r\n{head}\r\n".encode() + self.body


class Source(NamedTuple):
    """Requests, and how many were left out since they may change data."""

    requests: "list[Request]"
    left_out: int


def of_words(words: "list[str]", every_method: bool) -> Source:
    """Return the requests of files and paths.

    Args:
        words: paths, which begin with a slash, and names of files.
        every_method: also POST and others of HARs and logs, which may change data.
    """
    found: list[Request] = []
    left_out = 0
    for word in words:
        if word.startswith("/") and not os.path.isfile(word):
            found.append(_checked("GET", word, "--requests"))
            continue
        requests, told = _of_file(word)
        kept = [one for one in requests if every_method or told or one.method in SAFE]
        left_out += len(requests) - len(kept)
        found += kept
    if not found:
        more = f": all {left_out} may change data (--all-methods sends them)" if left_out else ""
        raise ToolError(f"--requests: there is no request to send{more}")
    return Source(found[:MOST], left_out)


def _of_file(name: str) -> "tuple[list[Request], bool]":
    """Return its requests, and whether their methods were chosen by whoever wrote the file."""
    try:
        with open(name, encoding="utf-8-sig", errors="replace") as file:
            text = file.read()
    except OSError as error:
        raise ToolError(f"--requests: {name}: {error.strerror}") from None
    lines = [line for line in text.splitlines() if line.strip()]
    if text.lstrip().startswith("{") and '"log"' in text and not _logged(lines[0]):
        return _of_har(name, text), False
    logged = [found for found in map(_logged, lines) if found]
    if logged:
        return [_checked(method, path, name) for method, path in logged], False
    return [_of_line(name, line) for line in lines if not line.startswith("#")], True


def _logged(line: str) -> "tuple[str, str] | None":
    """Return method and path of an access log's line, in whatever format, or None."""
    if not line.startswith("{"):
        match = LOGGED.search(line)
        return (match[1], match[2]) if match else None
    try:
        told = json.loads(line)
        if "httpRequest" in told:  # --access-logformat gcp
            told = told["httpRequest"]
            method, path = told["requestMethod"], ORIGIN.sub("", told["requestUrl"])
        else:
            method, path = told["method"], told["path"]
            path += "?" + told["query"] if told.get("query") else ""
        # Clients may have sent bytes that are no ASCII as they are.
        path = quote(path, safe=string.punctuation)
        return (method, path) if METHOD.match(method) and path[:1] == "/" else None
    except (ValueError, KeyError, TypeError):
        return None


def _of_line(name: str, line: str) -> Request:
    words = line.split()
    if len(words) == 1:
        words = ["GET", *words]
    if len(words) != 2 or not METHOD.match(words[0]):
        raise ToolError(f"--requests: {name}: neither a path, nor a method and a path: {line[:60]}")
    return _checked(words[0], words[1], name)


def _checked(method: str, path: str, name: str) -> Request:
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
        raise ToolError(f"--requests: {name}: a path has to begin with / and be in ASCII: {path}")
    return Request(method, path)


def _of_har(name: str, text: str) -> "list[Request]":
    try:
        entries = json.loads(text)["log"]["entries"]
        return [_of_entry(name, entry["request"]) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolError(f"--requests: {name} is no HAR: {error}") from None


def _of_entry(name: str, told: "dict[str, Any]") -> Request:
    url = urlsplit(told["url"])
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    fields = tuple(
        (one["name"], one["value"])
        for one in told.get("headers", ())
        if one["name"].lower() in FIELDS and "\n" not in one["value"] and "\r" not in one["value"]
    )
    body = (told.get("postData") or {}).get("text", "").encode()
    method = told["method"]
    if not METHOD.match(method):
        raise ToolError(f"--requests: {name}: {method} is no method")
    return Request(method, _checked(method, path, name).path, fields, body)
