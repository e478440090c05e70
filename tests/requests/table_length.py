"""Content-Length: one decimal number. RFC 9112 6.2-6.3, RFC 9110 8.6."""

from cases import get, last, message, ok, post, refused, series

BIG = b"9" * 100


def length(value, body=b"hello"):
    return post(b"Content-Length: " + value, body=body)


CASES = [
    ok("5", length(b"5"), body="hello", length="5"),
    ok("0", length(b"0", b""), body="", length="0"),
    ok("white space around", length(b"  5  "), body="hello", length="5"),
    ok("no white space", post(b"Content-Length:5", body=b"hello"), body="hello"),
    ok("leading zeros", length(b"0005"), body="hello"),
    ok("name in any case", post(b"cOnTeNt-LeNgTh: 5", body=b"hello"), body="hello"),
    ok(
        "body of every byte",
        length(b"256", bytes(range(256))),
        body=bytes(range(256)).decode("latin-1"),
    ),
    ok("body like a request", length(b"27", get()[:27]), body=get()[:27].decode()),
    ok(
        "GET with a body",
        message(b"GET / HTTP/1.1", b"Content-Length: 5", body=b"hello"),
        body="hello",
    ),
    ok(
        "DELETE with a body",
        message(b"DELETE / HTTP/1.1", b"Content-Length: 5", body=b"hello"),
        body="hello",
    ),
    ok(
        "OPTIONS with a body",
        message(b"OPTIONS * HTTP/1.1", b"Content-Length: 5", body=b"hello"),
        body="hello",
    ),
    ok("POST without length has no body", post(), body="", length=""),
    ok(
        "Upgrade with a body",
        post(b"Connection: upgrade", b"Upgrade: x", b"Content-Length: 5", body=b"hello"),
        body="hello",
    ),
    last("1.0", post(b"Content-Length: 5", body=b"hello", version=b"HTTP/1.0"), body="hello"),
    last("1.0 without length has no body", post(version=b"HTTP/1.0"), body=""),
    series("body and next request", length(b"5") + get(target=b"/next"), 200, 200, body="hello"),
    series(
        "three bodies",
        length(b"1", b"a") + length(b"0", b"") + length(b"5"),
        200,
        200,
        200,
        body="a",
    ),
    *(
        refused(f"value {value[:30]!r}", length(value))
        for value in (
            b"",
            b" ",
            b"+5",
            b"-5",
            b"-0",
            b"+0",
            b"--5",
            b"5-",
            b"5+",
            b"0x5",
            b"5x",
            b"x5",
            b"five",
            b"5.0",
            b"5e0",
            b"1e1",
            b"5,",
            b",5",
            b"5 5",
            b"5\t5",
            b"5;5",
            b"5:5",
            b"5/5",
            b'"5"',
            b"'5'",
            b"(5)",
            b"5 bytes",
            b"1_0",
            b"5_",
            b"5 ,5",
            b"0b101",
            b"0o5",
            b"05h",
            b"\xb5",
            b"\xd9\xa5",
            b"5\xa0",
            b"5\x00",
            b"\x005",
            b"5\x0b",
            b"\x0b5",
            b"5\x0c",
            b"5\x7f",
            b"inf",
            b"nan",
            b"NaN",
            b"*",
            b"?",
        )
    ),
    # Lists, even of equal values, and repeated fields are refused.
    *(
        refused(f"list {value!r}", length(value))
        for value in (b"5, 5", b"5,5", b"5, 6", b"5,6", b"0, 5", b"5, 0", b"5,,5", b"5, x")
    ),
    refused("two equal", post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello")),
    refused("two different", post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello!")),
    refused(
        "two different, larger first",
        post(b"Content-Length: 6", b"Content-Length: 5", body=b"hello!"),
    ),
    refused(
        "two, in different case", post(b"Content-Length: 5", b"content-length: 0", body=b"hello")
    ),
    refused(
        "two of the same number", post(b"Content-Length: 5", b"Content-Length: 05", body=b"hello")
    ),
    refused("two, one empty", post(b"Content-Length: 5", b"Content-Length:", body=b"hello")),
    refused("two zeros", post(b"Content-Length: 0", b"Content-Length: 0")),
    refused(
        "two, far apart",
        post(b"Content-Length: 5", b"X: y", b"Z: z", b"Content-Length: 6", body=b"hello!"),
    ),
    *(
        refused(f"overflow {value[:24].decode()}", length(value))
        for value in (
            b"9223372036854775808",
            b"18446744073709551615",
            b"18446744073709551616",
            b"18446744073709551621",
            b"36893488147419103237",
            b"99999999999999999999",
            BIG,
        )
    ),
    refused("obs-fold in the value", post(b"Content-Length:", b" 5", body=b"hello")),
    refused("obs-fold adds a digit", post(b"Content-Length: 5", b" 0", body=b"hello")),
    refused("space before the colon", post(b"Content-Length : 5", body=b"hello")),
    refused("tab before the colon", post(b"Content-Length\t: 5", body=b"hello")),
    refused("space before the name", post(b" Content-Length: 5", body=b"hello")),
    refused("NUL before the colon", post(b"Content-Length\x00: 5", body=b"hello")),
    refused("bare CR after the value", post(b"Content-Length: 5\rX: y", body=b"hello")),
    refused("bare LF after the value", post(b"Content-Length: 5\nX: y", body=b"hello")),
    refused("bad with GET", get(b"Content-Length: x")),
    refused("bad on 1.0", post(b"Content-Length: x", version=b"HTTP/1.0")),
    refused(
        "two different on 1.0",
        post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello!", version=b"HTTP/1.0"),
    ),
]
