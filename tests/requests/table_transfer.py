"""Transfer-Encoding: exactly one, exactly `chunked`, alone. RFC 9112 6.1, 6.3, 7."""

from cases import get, message, ok, post, refused, series

HELLO = b"5\r\nhello\r\n0\r\n\r\n"


def te(value, body=HELLO):
    return post(b"Transfer-Encoding: " + value, body=body)


def fields(*lines, body=HELLO, **kwargs):
    return post(*lines, body=body, **kwargs)


CASES = [
    ok("chunked", te(b"chunked"), body="hello", length="5"),
    ok("in capitals", te(b"CHUNKED"), body="hello"),
    ok("in mixed case", te(b"cHuNkEd"), body="hello"),
    ok("white space around", te(b" \t chunked \t "), body="hello"),
    ok("no white space", post(b"Transfer-Encoding:chunked", body=HELLO), body="hello"),
    ok("name in any case", post(b"tRANSFER-eNCODING: chunked", body=HELLO), body="hello"),
    ok("GET", message(b"GET / HTTP/1.1", b"Transfer-Encoding: chunked", body=HELLO), body="hello"),
    ok(
        "DELETE",
        message(b"DELETE / HTTP/1.1", b"Transfer-Encoding: chunked", body=HELLO),
        body="hello",
    ),
    ok(
        "with Upgrade",
        fields(b"Transfer-Encoding: chunked", b"Connection: upgrade", b"Upgrade: x"),
        body="hello",
    ),
    ok("TE is another field", get(b"TE: gzip, trailers")),
    ok(
        "look-alikes are plain fields",
        get(b"X-Transfer-Encoding: chunked", b"Transfer-Encodings: chunked"),
    ),
    series("then another request", te(b"chunked") + get(), 200, 200, body="hello"),
    # Codings that are not understood: 501; chunked not last or not alone: 400.
    *(
        refused(f"coding {value!r}", te(value), 400, 501)
        for value in (
            b"gzip",
            b"deflate",
            b"compress",
            b"br",
            b"x-gzip",
            b"identity",
            b"foo",
            b"gzip, chunked",
            b"identity, chunked",
            b"foo, chunked",
            b"chunked, gzip",
            b"chunked, identity",
            b"chunked, foo",
            b"gzip, deflate",
            b"gzip;q=1.0",
            b"trailers",
            b"xchunked",
            b"chunkedx",
            b"chunke",
            b"chunk",
            b"hunked",
            b"chunked-",
            b"-chunked",
            b"chunked1",
            b"x-chunked",
            b"un-chunked",
            b"c",
            b"chunked; q=0.5",
            b"chunked;q=1",
            b"chunked ;a=b",
            b"chunked;",
            b"chunked; ",
        )
    ),
    *(
        refused(f"value {value!r}", te(value), 400, 501)
        for value in (
            b"",
            b" ",
            b",",
            b",chunked",
            b"chunked,",
            b"chunked, ",
            b", chunked",
            b"chunked,,",
            b"chunked chunked",
            b"chunked identity",
            b"chunked\tx",
            b'"chunked"',
            b"'chunked'",
            b"(chunked)",
            b"chun ked",
            b"chunked:",
            b": chunked",
            b"= chunked",
            b"%63hunked",
            b"chunked%20",
            b"\xe3\x83\x81chunked",
            b"chunked\x85",
            b"chunked\xa0",
            b"\xa0chunked",
            b"\xefchunked",
            b"c\xc4\xa7unked",
        )
    ),
    refused("chunked twice in a list", te(b"chunked, chunked")),
    refused("chunked twice in a list without space", te(b"chunked,chunked")),
    *(
        refused(f"control byte in {value!r}", te(value))
        for value in (
            b"\x00chunked",
            b"chunked\x00",
            b"\x0bchunked",
            b"chunked\x0b",
            b"\x0cchunked",
            b"\x08chunked",
            b"\x7fchunked",
            b"chu\x00nked",
            b"\x01chunked",
            b"chunked\x1f",
            b"\rchunked",
            b"chunked\r",
            b"\nchunked",
        )
    ),
    refused("two chunked", fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")),
    refused(
        "two chunked, in different case",
        fields(b"Transfer-Encoding: chunked", b"transfer-encoding: CHUNKED"),
    ),
    refused(
        "chunked then identity",
        fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
        400,
        501,
    ),
    refused(
        "identity then chunked",
        fields(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"),
        400,
        501,
    ),
    refused(
        "gzip then chunked",
        fields(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"),
        400,
        501,
    ),
    refused(
        "chunked then gzip",
        fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip"),
        400,
        501,
    ),
    refused(
        "chunked then empty", fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding:"), 400, 501
    ),
    refused(
        "empty then chunked", fields(b"Transfer-Encoding:", b"Transfer-Encoding: chunked"), 400, 501
    ),
    refused(
        "chunked then junk",
        fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"),
        400,
        501,
    ),
    refused(
        "far apart",
        fields(b"Transfer-Encoding: chunked", b"X: y", b"Transfer-Encoding: x"),
        400,
        501,
    ),
    # Forms that some parsers take for Transfer-Encoding and others do not.
    refused("space before the colon", fields(b"Transfer-Encoding : chunked")),
    refused("tab before the colon", fields(b"Transfer-Encoding\t: chunked")),
    refused("vertical tab before the colon", fields(b"Transfer-Encoding\x0b: chunked")),
    refused("NUL before the colon", fields(b"Transfer-Encoding\x00: chunked")),
    refused("space before the name", fields(b" Transfer-Encoding: chunked")),
    refused("tab before the name", fields(b"\tTransfer-Encoding: chunked")),
    refused("folded after the colon", fields(b"Transfer-Encoding:", b" chunked")),
    refused("folded by tab", fields(b"Transfer-Encoding:", b"\tchunked")),
    refused("folded after a coding", fields(b"Transfer-Encoding: identity", b" , chunked")),
    refused("folded into another field", fields(b"X: y", b" Transfer-Encoding: chunked")),
    refused("behind a bare CR", fields(b"X: y\rTransfer-Encoding: chunked")),
    refused("behind a bare LF", fields(b"X: y\nTransfer-Encoding: chunked")),
    refused("behind LF CR", fields(b"X: y\n\rTransfer-Encoding: chunked")),
    refused("behind a NUL", fields(b"X: y\x00Transfer-Encoding: chunked")),
    refused("name with a space", fields(b"Transfer Encoding: chunked")),
    refused("name in quotes", fields(b'"Transfer-Encoding": chunked')),
    refused("bare LF ends it", fields(b"Transfer-Encoding: chunked\nX: y")),
    refused("bare CR ends it", fields(b"Transfer-Encoding: chunked\rX: y")),
    # RFC 9112 6.1: in HTTP/1.0 its framing is faulty.
    refused("on 1.0", fields(b"Transfer-Encoding: chunked", version=b"HTTP/1.0")),
    refused(
        "on 1.0 with keep-alive",
        fields(b"Transfer-Encoding: chunked", b"Connection: keep-alive", version=b"HTTP/1.0"),
    ),
    refused(
        "on 1.0 with a length",
        fields(b"Transfer-Encoding: chunked", b"Content-Length: 5", version=b"HTTP/1.0"),
    ),
    refused(
        "on 1.0, not chunked", fields(b"Transfer-Encoding: identity", version=b"HTTP/1.0"), 400, 501
    ),
]
