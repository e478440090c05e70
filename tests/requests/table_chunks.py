"""Chunked coding: sizes, extensions, line ends, trailers. RFC 9112 7.1."""

from cases import chunks, get, ok, refused, series

END = b"0\r\n\r\n"


def size(raw, data=b"hello"):
    return chunks(raw + b"\r\n" + data + b"\r\n" + END)


def extension(raw):
    return chunks(b"5" + raw + b"\r\nhello\r\n" + END)


def trailer(*lines):
    return chunks(b"5\r\nhello\r\n0\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n")


CASES = [
    ok("one chunk", size(b"5"), body="hello"),
    ok("no chunk", chunks(END), body=""),
    ok("three chunks", chunks(b"1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n" + END), body="abcdef"),
    ok("size in capitals", size(b"A", b"0123456789"), body="0123456789"),
    ok("size in small letters", size(b"a", b"0123456789"), body="0123456789"),
    ok("size of two digits", size(b"1a", b"x" * 26), body="x" * 26),
    ok("leading zeros", size(b"0005"), body="hello"),
    ok("size of 16 digits", size(b"0000000000000005"), body="hello"),
    ok("size of 128 digits", size(b"0" * 127 + b"5"), body="hello"),
    refused("size of 129 digits", size(b"0" * 128 + b"5")),
    refused("size of digits without end", chunks(b"0" * 100_000), behind=False),
    ok(
        "zeros in front of many sizes",
        chunks(b"00000001\r\nx\r\n" * 2000 + b"00000000\r\n\r\n"),
        body="x" * 2000,
    ),
    ok("leading zeros in the last chunk", chunks(b"5\r\nhello\r\n0000\r\n\r\n"), body="hello"),
    ok(
        "data of every byte",
        size(b"100", bytes(range(256))),
        body=bytes(range(256)).decode("latin-1"),
    ),
    ok("data like chunks", size(b"5", b"0\r\n\r\n"), body="0\r\n\r\n"),
    ok("data of CRLF", size(b"2", b"\r\n"), body="\r\n"),
    ok("many small chunks", chunks(b"1\r\nx\r\n" * 1000 + END), body="x" * 1000),
    ok("a large chunk", size(b"30000", b"x" * 0x30000), body="x" * 0x30000),
    series("then another request", size(b"5") + get(), 200, 200, body="hello"),
    series("last chunk then another", chunks(END) + get(target=b"/n"), 200, 200, body=""),
    *(
        refused(f"size {raw[:24]!r}", size(raw))
        for raw in (
            b"",
            b" ",
            b"x",
            b"g",
            b"5g",
            b"g5",
            b"-5",
            b"+5",
            b"--5",
            b"-0",
            b"0x5",
            b"0X5",
            b"x5",
            b"5h",
            b"5x",
            b" 5",
            b"\t5",
            b"5 ",
            b"5\t",
            b"5 5",
            b"5,5",
            b"5.0",
            b'"5"',
            b"5\x00",
            b"\x005",
            b"5\x0b",
            b"5\r",
            b"\r5",
            b"5\xa0",
            b"\xb5",
            b"\xef\xbc\x95",
            b"_5",
            b"5_",
            b"1_0",
            b"5:",
            b"5=",
            b"5&",
            b"5/",
            b"5#",
            b"5%3b",
        )
    ),
    *(
        refused(f"overflow {raw[:24].decode()}", size(raw))
        for raw in (
            b"8000000000000000",
            b"ffffffffffffffff",
            b"FFFFFFFFFFFFFFFF",
            b"10000000000000000",
            b"10000000000000005",
            b"100000000000000005",
            b"fffffffffffffffff",
            b"f" * 40,
            b"1" + b"0" * 64,
        )
    ),
    refused("negative by overflow", size(b"fffffffffffffffb")),
    # Line ends around sizes and data.
    refused("size ends with bare LF", chunks(b"5\nhello\r\n" + END)),
    refused("size ends with bare CR", chunks(b"5\rhello\r\n" + END)),
    refused("size ends with CR CR LF", chunks(b"5\r\r\nhello\r\n" + END)),
    refused("size ends with LF CR", chunks(b"5\n\rhello\r\n" + END)),
    refused("data ends with bare LF", chunks(b"5\r\nhello\n" + END)),
    refused("data ends with bare CR", chunks(b"5\r\nhello\r" + END)),
    refused("data ends with nothing", chunks(b"5\r\nhello" + END)),
    refused("data ends with CR CR LF", chunks(b"5\r\nhello\r\r\n" + END)),
    refused("data ends with LF CR", chunks(b"5\r\nhello\n\r" + END)),
    refused("data ends with two CRLF", chunks(b"5\r\nhello\r\n\r\n" + END)),
    refused("data ends with other bytes", chunks(b"5\r\nhelloXX" + END)),
    refused("data ends with CR and a byte", chunks(b"5\r\nhello\rX" + END)),
    refused("data longer than its size", chunks(b"4\r\nhello\r\n" + END)),
    refused("data shorter than its size", chunks(b"6\r\nhello\r\n" + END)),
    refused("data far longer than its size", chunks(b"1\r\nhello\r\n" + END)),
    refused("last chunk with data", chunks(b"0\r\nhello\r\n" + END)),
    refused("last chunk ends with bare LF", chunks(b"5\r\nhello\r\n0\n\r\n")),
    refused("body ends with bare LF", chunks(b"5\r\nhello\r\n0\r\n\n")),
    refused("body ends with bare LF twice", chunks(b"5\r\nhello\r\n0\n\n")),
    refused("body ends with bare CR", chunks(b"5\r\nhello\r\n0\r\n\rX")),
    refused("body ends with CR CR LF", chunks(b"5\r\nhello\r\n0\r\n\r\r\n")),
    refused("empty line first", chunks(b"\r\n5\r\nhello\r\n" + END)),
    refused("no chunks at all", chunks(b"hello, world\r\n")),
    # Extensions are read past: 7.1.1.
    ok("extension", extension(b";a"), body="hello"),
    ok("extension with a value", extension(b";a=b"), body="hello"),
    ok("extensions", extension(b";a;b=c;d=e"), body="hello"),
    ok("extension with a quoted value", extension(b';a="b c"'), body="hello"),
    ok("extension with quotes escaped", extension(b';a="b\\"c;d"'), body="hello"),
    ok("extension with an empty quoted value", extension(b';a=""'), body="hello"),
    ok("extension in the last chunk", chunks(b"5\r\nhello\r\n0;a=b\r\n\r\n"), body="hello"),
    # Blanks around ; and = ("bad" ones): 7.1.1.
    *(
        ok(f"extension with blanks {raw.decode()!r}", extension(raw), body="hello")
        for raw in (
            b"; a=b",
            b" ;a=b",
            b"\t;\ta",
            b";a = b",
            b' ; a = "q; r"',
            b" ; a ; b = c ; d",
            b';a= "b" ;c',
        )
    ),
    *(
        refused(f"extension with blanks {raw.decode()!r}", extension(raw))
        for raw in (b"; ", b";a ", b";a=b ", b';a="b" ', b";a b", b";a=b c", b" ; ;a", b"; =b")
    ),
    refused("extension of blanks without end", chunks(b"5;" + b" " * 100_000), behind=False),
    refused("extension without a name", extension(b";")),
    refused("extension of two semicolons", extension(b";;a")),
    refused("extension without a value", extension(b";a=")),
    refused("extension with only a value", extension(b";=b")),
    refused("extension not closed", extension(b';a="b')),
    refused("extension with more after a quote", extension(b';a="b"c')),
    refused("extension without semicolon", extension(b" a=b")),
    refused("extension with bare LF", chunks(b"5;a\nhello\r\n" + END)),
    refused("extension with bare CR", chunks(b"5;a\rb\r\nhello\r\n" + END)),
    refused("extension with bare LF in quotes", chunks(b'5;a="\n"\r\nhello\r\n' + END)),
    refused("extension with CRLF in quotes", chunks(b'5;a="\r\n"\r\nhello\r\n' + END)),
    refused("extension with NUL", extension(b";a\x00b")),
    refused("extension with a control byte", extension(b";a\x01b")),
    refused("extension with DEL", extension(b";a=\x7f")),
    refused("extension with a control byte in quotes", extension(b';a="\x01"')),
    refused("extension name of bytes", extension(b";\xe9=b")),
    refused("extension far too long", extension(b";a=" + b"b" * 100_000), 400, 413, 431),
    refused("extensions without end", chunks(b"5;" + b"a" * 200_000), 400, 413, 431, behind=False),
    refused(
        "extensions of many chunks",
        chunks(
            b"1;" + b"a" * 4000 + b"\r\nx\r\n" + (b"1;" + b"a" * 4000 + b"\r\nx\r\n") * 100 + END
        ),
        400,
        413,
        431,
    ),
    # Trailers are read past and reach nobody: 7.1.2.
    ok(
        "trailer",
        trailer(b"X-T: 1"),
        body="hello",
        headers={"HOST": "a"},
        length="5",
    ),
    ok("trailers", trailer(b"X-T: 1", b"X-U: 2", b"X-V:"), body="hello"),
    ok(
        "trailer that looks like a field",
        trailer(b"X-Forwarded-For: 1.2.3.4"),
        body="hello",
        headers={"HOST": "a"},
        length="5",
    ),
    refused("trailer without colon", trailer(b"X-T")),
    refused("trailer without name", trailer(b": x")),
    refused("trailer with a space in its name", trailer(b"X T: 1")),
    refused("trailer with a space before the colon", trailer(b"X-T : 1")),
    refused("trailer with a space first", trailer(b" X-T: 1")),
    refused("trailer folded", trailer(b"X-T: 1", b" 2")),
    refused("trailer with NUL", trailer(b"X-T: a\x00b")),
    refused("trailer with a control byte", trailer(b"X-T: a\x01b")),
    refused("trailer with bare LF", trailer(b"X-T: 1\nX-U: 2")),
    refused("trailer with bare CR", trailer(b"X-T: 1\rX-U: 2")),
    refused("trailer Content-Length", trailer(b"Content-Length: 5"), 200, 400, behind=False),
    refused("trailer like a request", trailer(b"GET /behind HTTP/1.1"), 400),
    refused("trailer far too long", trailer(b"X-T: " + b"x" * 100_000), 400, 413, 431),
    refused("trailers far too many", trailer(*[b"X-T: 1"] * 1000), 400, 413, 431),
    refused(
        "trailer without end", chunks(b"0\r\nX-T: " + b"x" * 200_000), 400, 413, 431, behind=False
    ),
]
