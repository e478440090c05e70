"""Request line: method tokens, spaces, version numbers, line ends. RFC 9112 2-3, RFC 9110 9."""

from cases import get, last, message, ok, refused, series


def line(raw):
    return message(raw)


METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE"]
WEBDAV = [b"PROPFIND", b"PROPPATCH", b"MKCOL", b"COPY", b"MOVE", b"LOCK", b"UNLOCK", b"REPORT"]

CASES = [
    *(
        ok(f"method {m.decode()}", line(m + b" / HTTP/1.1"), method=m.decode())
        for m in METHODS + WEBDAV
        if m != b"HEAD"
    ),
    # Any token is a method, and the app's to know: RFC 9110 9.1, 5.6.2.
    *(
        ok(f"unknown method {m.decode()}", line(m + b" / HTTP/1.1"), method=m.decode())
        for m in (
            b"FOO",
            b"get",
            b"Get",
            b"GETT",
            b"GE",
            b"G",
            b"POSTS",
            b"X-MY-METHOD",
            b"!#$%&'*+-.^_`|~",
            b"0123",
            b"M" * 30,
            b"DESCRIBE",
            b"PLAY",
            b"QUERY",
            b"LIST",
            b"BAN",
            b"-BLARGH",
            b"VERSION-CONTROL",
            b"PRI",
            b"CONNECTED",
            b"HEAP",
        )
    ),
    refused("CONNECT authority", line(b"CONNECT a:443 HTTP/1.1"), 501),
    refused("CONNECT origin", line(b"CONNECT / HTTP/1.1"), 400, 501),
    refused("CONNECT without port", line(b"CONNECT a HTTP/1.1"), 400, 501),
    *(
        refused(f"method with {bytes([c])!r}", line(b"GE" + bytes([c]) + b"T / HTTP/1.1"))
        for c in b'\x00\x01\t\x0b\x7f\x80\xff(),/:;<=>?@[\\]{}"'
    ),
    refused("method empty", line(b" / HTTP/1.1")),
    refused("method missing", line(b"/ HTTP/1.1")),
    refused("space before method", line(b" GET / HTTP/1.1")),
    refused("tab before method", line(b"\tGET / HTTP/1.1")),
    refused("BOM before method", line(b"\xef\xbb\xbfGET / HTTP/1.1")),
    refused("NUL before method", line(b"\x00GET / HTTP/1.1")),
    # RFC 9112 3: one space; a server may be lenient, but need not.
    refused("two spaces before target", line(b"GET  / HTTP/1.1")),
    refused("two spaces before version", line(b"GET /  HTTP/1.1")),
    refused("tab before target", line(b"GET\t/ HTTP/1.1")),
    refused("tab before version", line(b"GET /\tHTTP/1.1")),
    refused("vertical tab before version", line(b"GET /\x0bHTTP/1.1")),
    refused("form feed before version", line(b"GET /\x0cHTTP/1.1")),
    refused("CR before version", line(b"GET /\rHTTP/1.1")),
    refused("space after version", line(b"GET / HTTP/1.1 ")),
    refused("tab after version", line(b"GET / HTTP/1.1\t")),
    refused("word after version", line(b"GET / HTTP/1.1 x")),
    refused("target missing", line(b"GET HTTP/1.1")),
    refused("only the method", line(b"GET"), 400, 505),
    refused("target of two words", line(b"GET /a b HTTP/1.1")),
    # Versions: RFC 9110 2.5, RFC 9112 2.3.
    ok("version 1.1", line(b"GET / HTTP/1.1"), version="HTTP/1.1"),
    last("version 1.0", line(b"GET / HTTP/1.0"), version="HTTP/1.0"),
    ok("version 1.2", line(b"GET / HTTP/1.2"), version="HTTP/1.1"),
    ok("version 1.9", line(b"GET / HTTP/1.9"), version="HTTP/1.1"),
    ok(
        "version 1.2 with a body",
        message(b"PUT / HTTP/1.2", b"Content-Length: 5", body=b"hello"),
        body="hello",
    ),
    refused("version 1.2 without Host", message(b"GET / HTTP/1.2", host=None)),
    ok(
        "unknown method with a body",
        message(b"QUERY / HTTP/1.1", b"Content-Length: 5", body=b"hello"),
        method="QUERY",
        body="hello",
    ),
    *(
        refused(f"version {v.decode()}", line(b"GET / " + v), 505)
        for v in (
            b"HTTP/0.9",
            b"HTTP/2.0",
            b"HTTP/2.1",
            b"HTTP/3.0",
            b"HTTP/9.9",
        )
    ),
    *(
        refused(f"version {v!r}", line(b"GET / " + v), 400, 505)
        for v in (
            b"HTTP/2",
            b"HTTP/3",
            b"HTTP/0.0",
            b"HTTP/1",
            b"HTTP/11",
            b"HTTP/1.10",
            b"HTTP/01.1",
            b"HTTP/10.1",
        )
    ),
    *(
        refused(f"version {v!r}", line(b"GET / " + v))
        for v in (
            b"http/1.1",
            b"Http/1.1",
            b"HTTP/1.",
            b"HTTP/.1",
            b"HTTP/",
            b"HTTP",
            b"HTTP/1.1x",
            b"HTTP/1,1",
            b"HTTP/+1.1",
            b"HTTP/-1.1",
            b"HTTP/ 1.1",
            b"HTTP /1.1",
            b"HTTP/1.x",
            b"HTTP/a.b",
            b"HTTP/1:1",
            b"HTTPS/1.1",
            b"HTP/1.1",
            b"RTSP/1.0",
            b"ICE/1.0",
            b"XHTTP/1.1",
            b"HTTP/1.1\x00",
            b"HTTP/1.\xb1",
            b"HTTP\\1.1",
            b'"HTTP/1.1"',
        )
    ),
    refused("HTTP/0.9 simple request", b"GET /\r\n", 400, 505),
    refused("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 505, behind=False),
    refused("PRI alone", line(b"PRI * HTTP/1.1")),
    refused("TLS client hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n"),
    refused("SSH banner", b"SSH-2.0-OpenSSH_9.2p1\r\n", 400, 501, 505),
    refused("PROXY protocol v1", b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n" + get(), 400, 501, 505),
    refused("PROXY protocol v2", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + b"\x00" * 12 + get()),
    refused("a response", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400, 501, 505),
    # Line ends: RFC 9112 2.2. One empty line before a request is skipped.
    ok("empty line first", b"\r\n" + get()),
    series("empty line between", get() + b"\r\n" + get(), 200, 200),
    refused("bare LF first", b"\n" + get()),
    refused("bare CR first", b"\r" + get()),
    refused("bare LF after the line", b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    refused("bare CR after the line", b"GET / HTTP/1.1\rHost: a\r\n\r\n"),
    refused("LF CR after the line", b"GET / HTTP/1.1\n\rHost: a\r\n\r\n"),
    refused("CR CR LF after the line", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    refused("only bare LF", b"GET / HTTP/1.1\nHost: a\n\n"),
    refused("no line end but NUL", b"GET / HTTP/1.1\x00\nHost: a\r\n\r\n"),
    refused("line folded", b"GET /\r\n HTTP/1.1\r\nHost: a\r\n\r\n", 400, 505),
    # Limits: 8190 bytes of request line.
    ok("long target", get(target=b"/" + b"a" * 8000), uri="/" + "a" * 8000),
    ok("long query", get(target=b"/?" + b"a" * 8000), query="a" * 8000),
    refused("target too long", get(target=b"/" + b"a" * 8300), 414),
    refused("query too long", get(target=b"/?" + b"a" * 8300), 414),
    refused("target far too long", get(target=b"/" + b"a" * 100_000), 414),
    refused("target without end", b"GET /" + b"a" * 100_000, 414, behind=False),
    refused("method without end", b"M" * 100_000, 400, 414, 501, behind=False),
    refused("version without end", b"GET / HTTP/1.1" + b"1" * 100_000, 400, 414, 505, behind=False),
    refused("junk", b"\xde\xad\xbe\xef" * 100),
]
