"""Behind real proxies as docs/proxies.md shows them, with clients that lie to them."""

import contextlib
import subprocess

import pytest
from fronts import (
    ALL,
    CLIENT,
    Apache,
    Caddy,
    HAProxy,
    Nginx,
    documented_lines,
    documented_options,
    each,
    section,
)
from server import UnixPath

PREFIX = [("SCRIPT_NAME", "/x"), ("PATH_INFO", "/evil")]
LIES = [
    ("X-Forwarded-For", "6.6.6.6"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Port", "666"),
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Real-IP", "6.6.6.6"),
    ("Forwarded", "for=6.6.6.6;host=evil.example;proto=https"),
    *PREFIX,
]
HTTPS = [("X-Forwarded-Proto", "https")]
KINDRED = [("X-Forwarded-Protocol", "ssl"), ("X-Forwarded-Ssl", "on")]


@pytest.fixture
def tmp_path(open_folder):
    """Apache's workers are nobody's, and go to sockets in it."""
    return open_folder


@pytest.fixture(scope="session")
def tls(tmp_path_factory):
    """A certificate for "test"."""
    folder = tmp_path_factory.mktemp("tls")
    made = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "2"]
    named = ["-subj", "/CN=test", "-addext", "subjectAltName=DNS:test"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *made, *named]
    subprocess.run(command, check=True, capture_output=True)
    both = (folder / "cert.pem").read_text() + (folder / "key.pem").read_text()
    (folder / "all.pem").write_text(both)
    return folder


# What the page's table says that each passes on and adds.
SENT = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in [*LIES, *HTTPS]}
SEEN = {
    Nginx: {**SENT, "HTTP_SCRIPT_NAME": None, "HTTP_PATH_INFO": None},
    HAProxy: SENT,
    Caddy: {
        **SENT,
        "HTTP_X_FORWARDED_FOR": CLIENT,
        "HTTP_X_FORWARDED_HOST": "test",
        "HTTP_X_FORWARDED_PROTO": "http",
    },
    Apache: {
        **SENT,
        "HTTP_X_FORWARDED_FOR": f"6.6.6.6, {CLIENT}",
        "HTTP_X_FORWARDED_HOST": "evil.example, test",
    },
}


@pytest.mark.parametrize("kind", each(ALL))
def test_what_a_proxy_passes_on(serve, front, kind):
    told = front(kind, serve("envdump:app", "--header-map", "dangerous")).environ([*LIES, *HTTPS])
    assert {key: told.get(key) for key in SENT} == SEEN[kind]


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
@pytest.mark.parametrize("kind", each(ALL))
def test_a_liar_is_believed_nothing(serve, front, tmp_path, kind, unix):
    server = serve("envdump:app", binds=[UnixPath(tmp_path / "s")] if unix else None)
    one = front(kind, server)
    plain, told = one.environ(), one.environ(LIES)
    for key in ("HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "wsgi.url_scheme"):
        assert told[key] == plain[key], key
    assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("", "/")
    assert told["REMOTE_ADDR"] == ("" if unix else "127.0.0.1")


@pytest.mark.parametrize("kind", each(ALL))
def test_a_liar_behind_the_documented_lines(serve, front, kind):
    """The page's two sides, and nothing else: the client is who and what it is."""
    server = serve("envdump:app", *documented_options(kind.title))
    told = front(kind, server, documented_lines(kind.title)).environ([*LIES, *HTTPS])
    assert (told["REMOTE_ADDR"], told["HTTP_HOST"]) == (CLIENT, "test")
    assert told["wsgi.url_scheme"] == "http"
    assert told["SERVER_PORT"] == str(server.binds[0].number)
    assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("", "/")


@pytest.mark.parametrize("kind", each(ALL))
def test_https_behind_the_documented_lines(serve, front, tls, kind):
    server = serve("envdump:app", *documented_options(kind.title))
    one = front(kind, server, documented_lines(kind.title), tls)
    for headers in ([], [*LIES, ("X-Forwarded-Proto", "http")]):
        told = one.environ(headers)
        assert (told["REMOTE_ADDR"], told["HTTP_HOST"]) == (CLIENT, "test")
        assert (told["wsgi.url_scheme"], told["SERVER_PORT"]) == ("https", "443")


@pytest.mark.parametrize("kind", each(ALL))
def test_other_words_for_the_scheme(serve, front, kind):
    """Never believed: taken out by the lines, or passed on, and then a contradiction."""
    server = serve("envdump:app", *documented_options(kind.title))
    response = front(kind, server, documented_lines(kind.title)).ask(KINDRED)
    if kind in (HAProxy, Apache):
        assert response.json()["wsgi.url_scheme"][1] == "http"
    else:
        assert response.status == 400


@pytest.mark.parametrize("kind", each(ALL))
def test_with_star_the_nearest_proxys_word_counts(serve, front, kind):
    options = [*documented_options(kind.title), "--forwarded-allow-ips", "*"]
    server = serve("envdump:app", *options)
    told = front(kind, server, documented_lines(kind.title)).environ(LIES[:-2])
    assert (told["REMOTE_ADDR"], told["HTTP_HOST"]) == (CLIENT, "test")


@pytest.mark.parametrize("kind", each(ALL))
def test_a_proxys_word_cannot_be_taken_away(serve, front, kind):
    """Fields that Connection names are for one hop: what a proxy adds must not be among them."""
    server = serve("envdump:app", *documented_options(kind.title))
    one = front(kind, server, documented_lines(kind.title))
    named = "close, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Host"
    told = one.environ([("Connection", named), *LIES, *HTTPS])
    assert (told["REMOTE_ADDR"], told["HTTP_HOST"]) == (CLIENT, "test")
    assert told["wsgi.url_scheme"] == "http"


# Heads whose body's length is told in two ways, or in a way that some read and others do not.
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: hidden\r\n\r\n"
CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
LENGTH = b"Content-Length: %d\r\n" % len(HIDDEN)
AMBIGUOUS = [
    (LENGTH + b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n" + HIDDEN),
    (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", CHUNK),
    (LENGTH + b"Content-Length: 0\r\n", HIDDEN),
    (b"Content-Length: 0\r\n" + LENGTH, HIDDEN),
    (b"Content-Length: 0, %d\r\n" % len(HIDDEN), HIDDEN),
    (b"Content-Length: +%d\r\n" % len(HIDDEN), HIDDEN),
    (b"Content-Length : %d\r\n" % len(HIDDEN), HIDDEN),
    (b"Content_Length: %d\r\n" % len(HIDDEN), HIDDEN),
    (b" " + LENGTH, HIDDEN),
    *[
        (LENGTH + coding, b"0\r\n\r\n" + HIDDEN)
        for coding in (
            b"Transfer-Encoding: xchunked\r\n",
            b"Transfer-Encoding : chunked\r\n",
            b"Transfer-Encoding: chunked, identity\r\n",
            b"Transfer-Encoding: identity, chunked\r\n",
            b"Transfer-Encoding:\x0bchunked\r\n",
            b"Transfer-Encoding: \x00chunked\r\n",
            b"Transfer-Encoding:\r\n chunked\r\n",
            b"X: y\nTransfer-Encoding: chunked\r\n",
            b"X: y\rTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            b"Transfer_Encoding: chunked\r\n",
            b"Connection: Transfer-Encoding, Content-Length\r\nTransfer-Encoding: chunked\r\n",
        )
    ],
    *[
        (b"Transfer-Encoding: chunked\r\n", chunks)
        for chunks in (
            b"0;\n\r\n" + HIDDEN,
            b"0\n\r\n" + HIDDEN,
            b"+0\r\n\r\n" + HIDDEN,
            b"0x0\r\n\r\n" + HIDDEN,
            b"00000000000000000\r\n\r\n" + HIDDEN,
            b"10000000000000000\r\n\r\n" + HIDDEN,
            b"1;a=\nb\r\nx\r\n0\r\n\r\n" + HIDDEN,
            b"0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + HIDDEN,
            b"1\r\nxy\r\n0\r\n\r\n" + HIDDEN,
        )
    ],
    (b"Connection: Content-Length\r\n" + LENGTH, HIDDEN),
    (b"Expect: 100-continue\r\n" + LENGTH, HIDDEN),
    (b"Upgrade: h2c\r\nConnection: Upgrade\r\n" + LENGTH, HIDDEN),
]


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize("kind", each(ALL))
def test_no_request_hides_in_another(serve, front, tmp_path, kind, method):
    """What the proxy has seen bears its mark; whatever it takes for a body must not run."""
    log, last = (
        tmp_path / "access",
        b"GET /last HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    )
    logging = ("--access-logfile", log, "--access-logformat", "%(s)s %(r)s %({x-forwarded-for}i)s.")
    server = serve("envdump:app", *documented_options(kind.title), *logging)
    one = front(kind, server, documented_lines(kind.title))
    for version in (b"1.1", b"1.0"):
        for fields, body in AMBIGUOUS:
            with one.connect(timeout=1) as client:
                head = method + b" /seen HTTP/" + version + b"\r\nHost: test\r\n" + fields
                client.send(head + b"\r\n" + body + last)
                with contextlib.suppress(TimeoutError):  # it waits for more of a body
                    client.read()
    assert one.environ(path="/end")["PATH_INFO"] == "/end"
    lines = log.read_text().splitlines()
    strange = [line for line in lines if not line.endswith(f" {CLIENT}.")]
    # Refused before those fields are read, as what it was meant to be.
    assert [line for line in strange if not line.startswith(f"400 {method.decode()} /seen ")] == []
    assert len(lines) - len(strange) > 10


# What the page says in passing, for where --forwarded-allow-ips is given: before which line.
NO_PREFIX = {
    HAProxy: ("    server ", ["http-request del-header ^(script|path)_(name|info)$ -m reg"]),
    Caddy: ("    }\n", ["header_up -SCRIPT_NAME", "header_up -PATH_INFO"]),
    Apache: ("ProxyPass ", ["RequestHeader unset SCRIPT_NAME", "RequestHeader unset PATH_INFO"]),
}


def without_prefix(kind):
    place, added = NO_PREFIX[kind]
    assert all(f"`{line}`" in section(kind.title) for line in added)
    lines = documented_lines(kind.title)
    if kind is Caddy:
        lines = lines.replace("127.0.0.1:8080\n", "127.0.0.1:8080 {\n    }\n")
    assert lines.count(place) == 1
    return lines.replace(place, "".join(f"{line}\n" for line in added) + place)


@pytest.mark.parametrize("kind", each(NO_PREFIX))
def test_a_clients_prefix(serve, front, kind):
    """A rule against /admin is passed by as long as the proxy passes such fields on."""
    options = [*documented_options(kind.title), "--forwarded-allow-ips", "127.0.0.1"]
    server = serve("envdump:app", *options)
    told = front(kind, server, documented_lines(kind.title)).environ(PREFIX[:1], "/x/admin")
    assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("/x", "/admin")
    told = front(kind, server, without_prefix(kind)).environ(PREFIX, "/x/admin")
    assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("", "/x/admin")


@pytest.mark.parametrize("kind", each([Apache]))
def test_a_host_that_is_not_preserved(serve, front, kind):
    lines = documented_lines("Apache").replace("ProxyPreserveHost On", "ProxyPreserveHost Off")
    named = "x-forwarded-for,x-forwarded-host"
    told = front(kind, serve("envdump:app", "--trusted-proxy-headers", named), lines).environ(LIES)
    assert (told["REMOTE_ADDR"], told["HTTP_HOST"]) == (CLIENT, "test")


@pytest.mark.parametrize("kind", each([HAProxy]))
def test_the_proxy_protocol(serve, front, kind):
    assert "`send-proxy-v2`" in section("HAProxy") and "`--proxy-protocol v2`" in section("HAProxy")
    lines = kind.plain.replace(":8080", ":8080 send-proxy-v2")
    told = front(kind, serve("envdump:app", "--proxy-protocol", "v2"), lines).environ(LIES)
    assert (told["REMOTE_ADDR"], told["PROXY_ADDR"]) == (CLIENT, "127.0.0.1")
    assert (told["HTTP_HOST"], told["wsgi.url_scheme"]) == ("test", "http")


@pytest.mark.parametrize("kind", each([Nginx]))
def test_a_client_on_a_trusted_address_speaks_for_others(serve, front, kind):
    """Where a proxy's own clients are no trusted addresses, what they claim never counts."""
    server = serve("envdump:app", *documented_options("nginx"))
    claims = "location / { proxy_pass http://127.0.0.1:8080;"
    claims += " proxy_set_header X-Forwarded-For '$http_x_forwarded_for, 192.0.2.9'; }"
    assert front(kind, server, claims).environ(LIES)["REMOTE_ADDR"] == "192.0.2.9"


@pytest.mark.parametrize("kind", each([Nginx]))
def test_fields_that_do_not_count_are_kept_from_the_app(serve, front, kind):
    told = front(kind, serve("envdump:app", "--clear-untrusted-proxy-headers")).environ(LIES)
    known = {"HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT"}
    assert not {*known, "HTTP_FORWARDED"} & set(told)
