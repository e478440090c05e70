"""Header fields: names, values, line ends, folding, limits. RFC 9112 5, RFC 9110 5."""

from cases import get, message, ok, refused

TOKEN = b"!#$%&'*+-.^`|~09AZaz"


def many(count, size=1):
    return get(*(b"X-%d: %b" % (n, b"v" * size) for n in range(count)))


CASES = [
    ok("one", get(b"X-A: b"), headers={"HOST": "a", "X_A": "b"}),
    ok("no space after the colon", get(b"X-A:b"), headers={"HOST": "a", "X_A": "b"}),
    ok("spaces and tabs around", get(b"X-A: \t b \t "), headers={"HOST": "a", "X_A": "b"}),
    ok("empty value", get(b"X-A:"), headers={"HOST": "a", "X_A": ""}),
    ok("only white space", get(b"X-A: \t "), headers={"HOST": "a", "X_A": ""}),
    ok("inner white space stays", get(b"X-A: b \t c"), headers={"HOST": "a", "X_A": "b \t c"}),
    ok("colons in the value", get(b"X-A: :b:c:"), headers={"HOST": "a", "X_A": ":b:c:"}),
    ok(
        "every token character",
        get(b"X" + TOKEN + b": b"),
        headers={"HOST": "a", "X" + TOKEN.decode().upper().replace("-", "_"): "b"},
    ),
    ok("one-letter name", get(b"x: b"), headers={"HOST": "a", "X": "b"}),
    ok("name of digits", get(b"123: b"), headers={"HOST": "a", "123": "b"}),
    ok(
        "obs-text in the value",
        get(b"X-A: \x80\xe9\xff"),
        headers={"HOST": "a", "X_A": "\x80\xe9\xff"},
    ),
    ok(
        "every visible character",
        get(b"X-A: " + bytes(range(0x21, 0x7F))),
        headers={"HOST": "a", "X_A": bytes(range(0x21, 0x7F)).decode()},
    ),
    ok("twice", get(b"X-A: b", b"x-a: c"), headers={"HOST": "a", "X_A": "b,c"}),
    ok("cookies", get(b"Cookie: b=1", b"Cookie: c=2"), headers={"HOST": "a", "COOKIE": "b=1; c=2"}),
    ok("underscore dropped", get(b"X_A: b"), headers={"HOST": "a"}),
    ok(
        "underscore does not shadow", get(b"X_A: bad", b"X-A: b"), headers={"HOST": "a", "X_A": "b"}
    ),
    ok(
        "underscore after does not join",
        get(b"X-A: b", b"X_A: bad"),
        headers={"HOST": "a", "X_A": "b"},
    ),
    ok(
        "Content-Type", get(b"Content-Type: text/x; y=z"), type="text/x; y=z", headers={"HOST": "a"}
    ),
    # Names are tokens, and nothing may stand between name and colon (RFC 9112 5.1).
    *(
        refused(f"byte {bytes([c])!r} in a name", get(b"X" + bytes([c]) + b"A: b"))
        for c in b'\x00\x01\t\x0b\x0c\x1f "(),/;<=>?@[\\]{}\x7f\x80\xc3\xff'
    ),
    refused("space before the colon", get(b"X-A : b")),
    refused("tab before the colon", get(b"X-A\t: b")),
    refused("empty name", get(b": b")),
    refused("only a colon", get(b":")),
    refused("no colon", get(b"X-A")),
    refused("no colon, two words", get(b"X-A b")),
    refused("space before the name", get(b"X-A: b", b" X-B: c")),
    refused("space before the first name", message(b"GET / HTTP/1.1", b"Host: a", host=b" X-A: b")),
    refused("tab before the first name", message(b"GET / HTTP/1.1", b"Host: a", host=b"\tX-A: b")),
    # Values: no control bytes but tab (RFC 9110 5.5).
    *(
        refused(f"byte {bytes([c])!r} in a value", get(b"X-A: b" + bytes([c]) + b"c"))
        for c in b"\x00\x01\x07\x08\x0b\x0c\x0e\x1b\x1f\x7f"
    ),
    refused("NUL at the end of a value", get(b"X-A: b\x00")),
    refused("NUL at the start of a value", get(b"X-A:\x00b")),
    refused("bare CR in a value", get(b"X-A: b\rc")),
    refused("bare CR and a field in a value", get(b"X-A: b\rX-B: c")),
    refused("bare CR at the start of a value", get(b"X-A: \rb")),
    refused("bare LF ends a field", get(b"X-A: b\nX-B: c")),
    refused("bare LF ends an empty field", get(b"X-A:\nX-B: c")),
    refused("CR CR LF ends a field", get(b"X-A: b\r")),
    refused("CR NUL LF", get(b"X-A: b\r\x00\nX-B: c")),
    # obs-fold: RFC 9112 5.2.
    refused("obs-fold by space", get(b"X-A: b", b" c")),
    refused("obs-fold by tab", get(b"X-A: b", b"\tc")),
    refused("obs-fold of an empty value", get(b"X-A:", b" b")),
    refused("obs-fold with nothing", get(b"X-A: b", b" ")),
    refused("obs-fold that looks like a field", get(b"X-A: b", b" X-B: c")),
    # The end of the head.
    refused("bare LF ends the head", b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    refused("bare LF LF ends the head", b"GET / HTTP/1.1\r\nHost: a\n\n"),
    refused("bare CR ends the head", b"GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n"),
    refused("CR CR LF ends the head", b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n"),
    refused("LF CR LF ends the head", b"GET / HTTP/1.1\r\nHost: a\n\r\n"),
    refused("space then the end", b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n"),
    # Limits: 100 fields, 8190 bytes each, 128 KiB together.
    ok("100 fields", many(99)),
    refused("101 fields", many(100), 431),
    refused("1000 fields", many(1000), 431),
    ok("long value", get(b"X-A: " + b"v" * 8000), headers={"HOST": "a", "X_A": "v" * 8000}),
    ok(
        "long name",
        get(b"X-" + b"N" * 8000 + b": v"),
        headers={"HOST": "a", "X_" + "N" * 8000: "v"},
    ),
    refused("value too long", get(b"X-A: " + b"v" * 8300), 431),
    refused("name too long", get(b"N" * 8300 + b": v"), 431),
    refused("value far too long", get(b"X-A: " + b"v" * 200_000), 431),
    refused(
        "value without end",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"v" * 200_000,
        431,
        behind=False,
    ),
    refused(
        "name without end", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"N" * 200_000, 431, behind=False
    ),
    refused("white space without end", get(b"X-A:" + b" " * 200_000 + b"b"), 431),
    ok("120 KB of fields", many(60, 2000)),
    refused("144 KB of fields", many(60, 2400), 431),
    refused("600 KB of fields", many(90, 7000), 431),
    # Expect: RFC 9110 10.1.1.
    refused("Expect unknown", get(b"Expect: tea"), 417),
    refused("Expect empty of meaning", get(b"Expect: 200-ok"), 417),
    refused("Expect of two", get(b"Expect: 100-continue, tea"), 417),
    refused("Expect continued", get(b"Expect: 100-continued"), 417),
    ok("Expect in capitals", get(b"Expect: 100-CONTINUE")),
    # Upgrade is ignored: RFC 9110 7.8.
    ok(
        "Upgrade websocket",
        get(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
    ),
    ok(
        "Upgrade h2c",
        get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
    ),
    ok("Upgrade without Connection", get(b"Upgrade: TLS/1.0")),
]
