"""Requests that two parsers may cut apart differently: refused wherever two readings exist."""

from cases import get, last, message, ok, post, refused, series

INNER = b"GET /behind/smuggled HTTP/1.1\r\nHost: a\r\nX: "
HELLO = b"5\r\nhello\r\n0\r\n\r\n"


def both(length, coding=b"Transfer-Encoding: chunked", body=HELLO, **kwargs):
    return post(b"Content-Length: " + length, coding, body=body, **kwargs)


CASES = [
    # CL.TE and TE.CL: both framings in one message (RFC 9112 6.3 rule 3).
    refused("CL.TE", both(b"6", body=b"0\r\n\r\nG")),
    refused(
        "CL.TE with a request inside", both(b"%d" % (5 + len(INNER)), body=b"0\r\n\r\n" + INNER)
    ),
    refused("TE.CL", both(b"4", body=b"5c\r\n" + INNER + b"\r\n0\r\n\r\n")),
    refused(
        "TE.CL, coding first", post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=HELLO)
    ),
    refused("both, and they agree", both(b"15")),
    refused("both, length 0", both(b"0")),
    refused(
        "both, length first and last",
        post(b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Content-Length: 5", body=HELLO),
    ),
    refused(
        "both with GET",
        message(
            b"GET / HTTP/1.1", b"Content-Length: 15", b"Transfer-Encoding: chunked", body=HELLO
        ),
    ),
    refused("both on 1.0", both(b"15", version=b"HTTP/1.0")),
    refused(
        "both in capitals", post(b"CONTENT-LENGTH: 15", b"TRANSFER-ENCODING: CHUNKED", body=HELLO)
    ),
    refused(
        "both, far apart",
        post(
            b"Content-Length: 15",
            *(b"X-%d: y" % n for n in range(50)),
            b"Transfer-Encoding: chunked",
            body=HELLO,
        ),
    ),
    refused("both, coding unknown", both(b"15", b"Transfer-Encoding: xchunked"), 400, 501),
    refused("both, coding identity", both(b"15", b"Transfer-Encoding: identity"), 400, 501),
    refused("both, coding empty", both(b"15", b"Transfer-Encoding:"), 400, 501),
    refused("both, length invalid", both(b"x")),
    refused(
        "both with Connection: close",
        post(
            b"Content-Length: 15", b"Transfer-Encoding: chunked", b"Connection: close", body=HELLO
        ),
    ),
    refused(
        "both with Connection naming one",
        post(
            b"Content-Length: 15",
            b"Transfer-Encoding: chunked",
            b"Connection: Transfer-Encoding",
            body=HELLO,
        ),
    ),
    # TE.TE: the coding in a form that one of two parsers overlooks, beside a length.
    *(
        refused(f"TE.TE {coding!r}", both(b"4", coding), 400, 501)
        for coding in (
            b"Transfer-Encoding : chunked",
            b"Transfer-Encoding\t: chunked",
            b" Transfer-Encoding: chunked",
            b"X: y\r\n Transfer-Encoding: chunked",
            b"Transfer-Encoding:\r\n chunked",
            b"Transfer-Encoding\r\n: chunked",
            b"Transfer-Encoding: \x0bchunked",
            b"Transfer-Encoding: chunked\x00",
            b"Transfer-Encoding\x00: chunked",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
            b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
            b"X: y\nTransfer-Encoding: chunked",
            b"X: y\rTransfer-Encoding: chunked",
            b"Transfer-Encoding: x, chunked",
            b"Transfer-Encoding: chunked, x",
            b'Transfer-Encoding: "chunked"',
            b"Transfer-Encoding:chunked\n",
            b"Transfer\\Encoding: chunked",
            b"Transfer-Encoding/: chunked",
            b"Foo\x00: y\r\nTransfer-Encoding: chunked",
        )
    ),
    # Names that are not Transfer-Encoding, by any reading that is ours: the length counts.
    ok(
        "underscore for the dash",
        post(b"Content-Length: 5", b"Transfer_Encoding: chunked", body=b"hello"),
        body="hello",
    ),
    ok(
        "X- before the name",
        post(b"Content-Length: 5", b"X-Transfer-Encoding: chunked", body=b"hello"),
        body="hello",
    ),
    ok(
        "length with an underscore",
        post(b"Content-Length: 5", b"Content_Length: 50", body=b"hello"),
        body="hello",
        length="5",
    ),
    ok("only a length with an underscore", post(b"Content_Length: 5"), body="", length=""),
    ok("only a coding with an underscore", post(b"Transfer_Encoding: chunked"), body=""),
    refused(
        "letter that lowers to k",
        post(b"Content-Length: 5", "Tran\u017ffer-Encoding: chunked".encode(), body=HELLO),
    ),
    # CL.0: a body where some servers expect none. It is read as the body it is.
    series(
        "CL.0 GET",
        message(b"GET / HTTP/1.1", b"Content-Length: %d" % len(INNER), body=INNER) + get(),
        200,
        200,
        body=INNER.decode(),
    ),
    series(
        "CL.0 HEAD-like OPTIONS",
        message(b"OPTIONS / HTTP/1.1", b"Content-Length: %d" % len(INNER), body=INNER) + get(),
        200,
        200,
        body=INNER.decode(),
    ),
    series(
        "CL.0 DELETE",
        message(b"DELETE / HTTP/1.1", b"Content-Length: %d" % len(INNER), body=INNER) + get(),
        200,
        200,
        body=INNER.decode(),
    ),
    series(
        "CL.0 with Upgrade",
        message(
            b"GET / HTTP/1.1",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Content-Length: %d" % len(INNER),
            body=INNER,
        )
        + get(),
        200,
        200,
        body=INNER.decode(),
    ),
    series(
        "CL.0 with Expect",
        post(b"Expect: 100-continue", b"Content-Length: %d" % len(INNER), body=INNER) + get(),
        200,
        200,
        body=INNER.decode(),
    ),
    series("0.CL", post(b"Content-Length: 0") + get(), 200, 200, body=""),
    refused("0.CL by a folded length", post(b"Content-Length:", b" 5", body=b"hello")),
    refused("CL.CL", post(b"Content-Length: 0", b"Content-Length: %d" % len(INNER), body=INNER)),
    refused(
        "CL.CL, larger first",
        post(b"Content-Length: %d" % len(INNER), b"Content-Length: 0", body=INNER),
    ),
    refused("CL.CL in a list", post(b"Content-Length: 0, %d" % len(INNER), body=INNER)),
    refused("CL with a plus", post(b"Content-Length: +%d" % len(INNER), body=INNER)),
    # Chunk forms that move the border: TERM.EXT, EXT.TERM, TERM.SPILL, sizes.
    refused(
        "TERM.EXT",
        post(
            b"Transfer-Encoding: chunked", body=b"2;\nxx\r\n10\r\n\r\n" + INNER + b"\r\n0\r\n\r\n"
        ),
    ),
    refused(
        "EXT.TERM", post(b"Transfer-Encoding: chunked", body=b"2;\n10\r\nxx\r\n0\r\n\r\n" + INNER)
    ),
    refused("TERM.SPILL", post(b"Transfer-Encoding: chunked", body=b"5\nAAAAA\r\n0\r\n\r\n")),
    refused("ONE.TWO", post(b"Transfer-Encoding: chunked", body=b"2\r\nxx\n0\r\n\r\n")),
    refused("ZERO.TWO", post(b"Transfer-Encoding: chunked", body=b"2\r\nxx0\r\n\r\n")),
    refused("TWO.ONE", post(b"Transfer-Encoding: chunked", body=b"2\r\nxxy\r\n0\r\n\r\n")),
    refused("size with 0x", post(b"Transfer-Encoding: chunked", body=b"0x2\r\nxx\r\n0\r\n\r\n")),
    refused(
        "size wraps at 64 bits",
        post(b"Transfer-Encoding: chunked", body=b"10000000000000002\r\nxx\r\n0\r\n\r\n"),
    ),
    refused("size negative", post(b"Transfer-Encoding: chunked", body=b"-1\r\n" + INNER)),
    refused("length wraps at 64 bits", post(b"Content-Length: 18446744073709551617", body=b"x")),
    refused(
        "trailer hides a request",
        post(b"Transfer-Encoding: chunked", body=b"0\r\nX: y\n\n" + INNER),
    ),
    refused(
        "trailer hides a coding",
        post(
            b"Transfer-Encoding: chunked", body=b"0\r\nTransfer-Encoding : chunked\r\n\r\n" + INNER
        ),
    ),
    # Line ends that hide a field or a whole request.
    refused("request behind bare LF LF", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\n\n" + INNER),
    refused("request behind CR CR", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\r" + INNER),
    refused("request behind LF CR LF", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n" + INNER),
    refused(
        "request in a folded field",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n " + INNER + b"z\r\n\r\n",
    ),
    refused("length behind bare CR", post(b"X: y\rContent-Length: 5", body=b"hello")),
    refused("length behind bare LF", post(b"X: y\nContent-Length: 5", body=b"hello")),
    refused("length behind NUL", post(b"X: y\x00\r\nContent-Length: 5", body=b"hello")),
    refused("field in the target", b"GET /\rHost: a HTTP/1.1\r\nHost: b\r\n\r\n"),
    refused("version twice", get(target=b"/ HTTP/1.1 HTTP/1.1")),
    refused(
        "request in the target",
        b"GET /x HTTP/1.1\nHost: a\n\nGET /behind HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    # Connection: close and 1.0: nothing behind is run.
    last("behind Connection: close", get(b"Connection: close")),
    last("behind 1.0", get(version=b"HTTP/1.0")),
    last(
        "behind 1.0 with a body",
        post(b"Content-Length: 5", body=b"hello", version=b"HTTP/1.0"),
        body="hello",
    ),
    # A good request, then a refused one: the good one is answered, what is behind is not run.
    series("good, then bad length", get() + post(b"Content-Length: x"), 200, 400, closes=True),
    series("good, then both framings", get() + both(b"15"), 200, 400, closes=True),
    series("good, then no Host", get() + get(host=None), 200, 400, closes=True),
    series("good, then junk", get() + b"\x00\x01\x02\r\n\r\n", 200, 400, closes=True),
    series("good, then unknown method", get() + message(b"FOO / HTTP/1.1"), 200, 200),
    series("good, then version 2", get() + get(version=b"HTTP/2.0"), 200, 505, closes=True),
    series("good, then too long", get() + get(target=b"/" + b"a" * 9000), 200, 414, closes=True),
    series(
        "good with body, then bad",
        post(b"Content-Length: 5", body=b"hello") + get(host=None),
        200,
        400,
        closes=True,
    ),
    series(
        "good with chunks, then bad",
        post(b"Transfer-Encoding: chunked", body=HELLO) + get(host=None),
        200,
        400,
        closes=True,
    ),
    # A byte too few or too many makes another method, which is the app's to refuse.
    series(
        "body one byte short of what follows",
        post(b"Content-Length: 4", body=b"hello") + get(),
        200,
        200,
        body="hell",
    ),
    series(
        "body one byte over into what follows",
        post(b"Content-Length: 6", body=b"hello") + get(),
        200,
        200,
        body="helloG",
    ),
    series(
        "chunks and a byte more",
        post(b"Transfer-Encoding: chunked", body=HELLO + b"x") + get(),
        200,
        200,
        body="hello",
    ),
]
