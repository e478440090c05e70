"""Connection and its end: keep-alive, close, pipelines. RFC 9112 9."""

from cases import get, last, message, ok, post, series

CHUNKED = post(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n")

CASES = [
    ok("keep-alive on 1.1", get(b"Connection: keep-alive")),
    ok("unknown option", get(b"Connection: foo")),
    ok("options", get(b"Connection: keep-alive, foo , bar")),
    ok("empty", get(b"Connection:")),
    ok("option that contains close", get(b"Connection: not-close, closed, xclose")),
    ok("close in another field", get(b"X-Connection: close", b"Keep-Alive: close")),
    ok(
        "naming a field",
        get(b"Connection: X-A", b"X-A: b"),
        headers={"HOST": "a", "CONNECTION": "X-A", "X_A": "b"},
    ),
    *(
        last(f"close as {value!r}", get(b"Connection: " + value))
        for value in (
            b"close",
            b"Close",
            b"CLOSE",
            b" close ",
            b"\tclose",
            b"foo, close",
            b"close, foo",
            b"foo,close,bar",
            b"keep-alive, close",
            b"close, keep-alive",
            b"close,close",
            b"foo ,\tclose",
        )
    ),
    last("close in the second field", get(b"Connection: foo", b"Connection: close")),
    last("close in the first field", get(b"Connection: close", b"Connection: foo")),
    last("1.0", get(version=b"HTTP/1.0")),
    last("1.0 and close", get(b"Connection: close", version=b"HTTP/1.0")),
    last("1.0 and another option", get(b"Connection: foo", version=b"HTTP/1.0")),
    last("1.0, keep-alive and close", get(b"Connection: keep-alive, close", version=b"HTTP/1.0")),
    ok("1.0 and keep-alive", get(b"Connection: keep-alive", version=b"HTTP/1.0")),
    ok("1.0 and Keep-Alive", get(b"Connection: Keep-Alive", version=b"HTTP/1.0")),
    series(
        "1.0 kept, then 1.1", get(b"Connection: keep-alive", version=b"HTTP/1.0") + get(), 200, 200
    ),
    series("1.1, then 1.0", get() + get(version=b"HTTP/1.0"), 200, 200, closes=True),
    series("ten", get() * 10, *[200] * 10),
    series(
        "bodies of all kinds",
        (get() + post(b"Content-Length: 5", body=b"hello") + CHUNKED + post()) * 5,
        *[200] * 20,
    ),
    series(
        "methods of all kinds",
        b"".join(
            message(m + b" / HTTP/1.1") for m in (b"GET", b"PUT", b"DELETE", b"PATCH", b"OPTIONS")
        ),
        *[200] * 5,
    ),
    series("empty lines between", (get() + b"\r\n") * 5 + get(), *[200] * 6),
    series(
        "Expect amid a pipeline",
        get() + post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello") + get(),
        200,
        200,
        200,
    ),
]
