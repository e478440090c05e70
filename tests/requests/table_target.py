"""Request targets in their four forms. RFC 9112 3.2, RFC 3986."""

from cases import get, message, ok, refused


def target(raw, host=b"a"):
    return get(target=raw, host=b"Host: " + host)


def options(raw):
    return message(b"OPTIONS " + raw + b" HTTP/1.1")


CASES = [
    ok("root", target(b"/"), path="/", query=""),
    ok("path and query", target(b"/a/b?c=d&e"), path="/a/b", query="c=d&e", uri="/a/b?c=d&e"),
    ok("empty query", target(b"/a?"), path="/a", query="", uri="/a?"),
    ok("question marks in query", target(b"/a?b?c??"), path="/a", query="b?c??"),
    ok("slashes and colons in query", target(b"/a?u=http://b:80/c"), query="u=http://b:80/c"),
    ok("all unreserved", target(b"/AZaz09-._~"), path="/AZaz09-._~"),
    ok("all sub-delims", target(b"/!$&'()*+,;=:@"), path="/!$&'()*+,;=:@"),
    ok("percent-encoded", target(b"/%41%2f%3F%25%e2%82%ac"), path="/A/?%\xe2\x82\xac"),
    ok("percent-encoded control", target(b"/%01%0a%7f"), path="/\x01\n\x7f"),
    ok("percent-encoded CRLF", target(b"/%0d%0aX-Evil:%201"), path="/\r\nX-Evil: 1"),
    ok("double encoding is decoded once", target(b"/%252e%252e/"), path="/%2e%2e/"),
    ok("dot segments stay", target(b"/a/./../b"), path="/a/./../b"),
    ok("encoded dot segments stay", target(b"/%2e%2e/%2E/"), path="/.././"),
    ok("double slash first", target(b"//evil.example/a"), path="//evil.example/a", host="a"),
    ok("many slashes", target(b"////"), path="////"),
    ok("browsers leave these in a query", target(b"/?{|}^`\\"), query="{|}^`\\"),
    ok("browsers leave a bar in a path", target(b"/a|b"), path="/a|b"),
    ok("bare percent in query", target(b"/?100%"), query="100%"),
    ok("path like a URL", target(b"/http://b/"), path="/http://b/"),
    ok("semicolon parameters", target(b"/a;b=c/d;e"), path="/a;b=c/d;e"),
    *(
        refused(f"byte {bytes([c])!r} in path", target(b"/a" + bytes([c]) + b"b"))
        for c in b"\x00\x01\x08\x0b\x0c\x1b\x1f\x7f\x80\xc3\xff"
    ),
    *(
        refused(f"byte {bytes([c])!r} in query", target(b"/a?" + bytes([c])))
        for c in b"\x00\x01\x09\x1f\x7f\x80\xe9\xff"
    ),
    # RFC 9112 3.2: no form has a fragment.
    refused("fragment", target(b"/a#b")),
    refused("fragment after query", target(b"/a?b#c")),
    refused("only a fragment", target(b"#a")),
    # What starts no escape stands for itself.
    ok("percent without digits in path", target(b"/a%"), path="/a%"),
    ok("percent with one digit in path", target(b"/a%4"), path="/a%4"),
    ok("percent with other letters in path", target(b"/a%zz"), path="/a%zz"),
    ok("percent before an escape", target(b"/100%%41"), path="/100%A"),
    ok("percent and a digit before an escape", target(b"/%4%41"), path="/%4A"),
    refused("no slash first", target(b"a/b")),
    refused("only a query", target(b"?a=b")),
    refused("backslash first", target(b"\\a")),
    refused("dots first", target(b"../etc/passwd")),
    refused("percent first", target(b"%2Fa")),
    # absolute-form, 3.2.2: its host counts.
    ok("absolute", target(b"http://b.example/c?d"), path="/c", query="d", host="b.example"),
    ok("absolute with port", target(b"http://b:8080/c", b"b:8080"), path="/c", host="b:8080"),
    ok("absolute without path", target(b"http://b", b"b"), path="/", query=""),
    ok("absolute with query and no path", target(b"http://b?c=d", b"b"), path="/", query="c=d"),
    ok("absolute scheme in capitals", target(b"HTTP://b/c", b"b"), path="/c"),
    ok("absolute IPv4", target(b"http://127.0.0.1/c", b"127.0.0.1"), path="/c", host="127.0.0.1"),
    ok("absolute IPv6", target(b"http://[::1]:80/c", b"[::1]:80"), path="/c", host="[::1]:80"),
    ok("absolute keeps its raw form", target(b"http://b/%41", b"b"), uri="http://b/%41", path="/A"),
    ok("absolute with another Host", target(b"http://one/c", b"two"), host="one"),
    refused("absolute without Host", get(target=b"http://b/c", host=None)),
    refused("absolute with user", target(b"http://u@b/c")),
    refused("absolute with user and password", target(b"http://u:p@b/c")),
    refused("absolute without host", target(b"http:///c")),
    refused("absolute with only a port", target(b"http://:80/c")),
    refused("absolute with one slash", target(b"http:/c")),
    refused("absolute without slashes", target(b"http:c")),
    refused("absolute other scheme", target(b"ftp://b/c")),
    refused("absolute file", target(b"file:///etc/passwd")),
    refused("absolute javascript", target(b"javascript:alert(1)")),
    refused("absolute without scheme", target(b"://b/c")),
    refused("absolute port in letters", target(b"http://b:x/c")),
    refused("absolute two ports", target(b"http://b:80:80/c")),
    refused("absolute IPv6 not closed", target(b"http://[::1/c")),
    refused("absolute IPv6 not opened", target(b"http://::1]/c")),
    refused("absolute IPv6 of letters", target(b"http://[xyz]/c")),
    refused("absolute with fragment", target(b"http://b/c#d")),
    refused("absolute with backslash", target(b"http:\\\\b\\c")),
    refused("absolute with backslash in host", target(b"http://b\\c/")),
    refused("absolute with tab in host", target(b"http://b\tc/")),
    refused("absolute with NUL in host", target(b"http://b\x00c/")),
    refused("absolute with bytes in host", target(b"http://b\xc3\xa9/")),
    # authority-form is for CONNECT only, asterisk-form for OPTIONS only: 3.2.3, 3.2.4.
    refused("authority", target(b"b:80")),
    refused("authority without port", target(b"b.example")),
    refused("authority IPv6", target(b"[::1]:80")),
    refused("asterisk for GET", target(b"*")),
    refused("asterisk for POST", message(b"POST * HTTP/1.1", b"Content-Length: 0")),
    refused("asterisk and more", options(b"*x")),
    refused("asterisk and path", options(b"*/")),
    refused("asterisk and query", options(b"*?a")),
    refused("two asterisks", options(b"**")),
    ok("asterisk for OPTIONS", options(b"*"), method="OPTIONS", uri="*", path=""),
    ok("OPTIONS with a path", options(b"/a"), method="OPTIONS", path="/a"),
]
