"""Forwarded headers and PROXY protocol: believed from trusted peers only, refused when torn."""

import pytest
from client import request
from server import UnixPath, run

ALL = "x-forwarded-for, X-Forwarded-Host,x-forwarded-port,x-forwarded-proto,forwarded"

V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x67\x01\xbb"
V2_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"


NAMED = ("--trusted-proxy-headers", ALL)


def environ(server, headers=(), before=b""):
    with server.connect() as client:
        client.send(before + request("/", headers=headers))
        response = client.response()
        if response.status != 200:
            assert client.at_end()
            return response.status
        return {key: value for key, (_, value) in response.json().items()}


@pytest.fixture(scope="module")
def trusting(serve_all):
    options = ("--forwarded-allow-ips", "127.0.0.1,10.0.0.0/8", "--trusted-proxy-headers", ALL)
    return serve_all("envdump:app", *options)


@pytest.fixture(scope="module")
def wary(serve_all):
    return serve_all("envdump:app", "--forwarded-allow-ips", "192.0.2.1", *NAMED)


@pytest.fixture(scope="module")
def usual(serve_all):
    return serve_all("envdump:app")


SAYINGS = [
    ([("X-Forwarded-Proto", "https")], "wsgi.url_scheme", "https"),
    ([("X-Forwarded-Proto", "HTTPS")], "wsgi.url_scheme", "https"),
    ([("X-Forwarded-Proto", "http")], "wsgi.url_scheme", "http"),
    ([("X-Forwarded-Proto", "https, http")], "wsgi.url_scheme", "http"),
    ([("X-Forwarded-Ssl", "on")], "wsgi.url_scheme", "https"),
    ([("X-Forwarded-Protocol", "ssl")], "wsgi.url_scheme", "https"),
    ([("X-Forwarded-For", "192.0.2.9")], "REMOTE_ADDR", "192.0.2.9"),
    ([("X-Forwarded-For", "6.6.6.6, 192.0.2.9, 10.1.2.3")], "REMOTE_ADDR", "192.0.2.9"),
    ([("X-Forwarded-For", "10.0.0.1, 10.0.0.2")], "REMOTE_ADDR", "10.0.0.2"),
    (
        [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "192.0.2.9")],
        "REMOTE_ADDR",
        "192.0.2.9",
    ),
    (
        [("X-Forwarded-For", "192.0.2.9"), ("X-Forwarded-For", "10.0.0.2")],
        "REMOTE_ADDR",
        "192.0.2.9",
    ),
    ([("X-Forwarded-For", "6.6.6.6, 192.0.2.9")], "REMOTE_PORT", "0"),
    ([("X-Forwarded-For", "6.6.6.6:66, 192.0.2.9:4711")], "REMOTE_PORT", "4711"),
    ([("X-Forwarded-For", "192.0.2.9:x")], "REMOTE_PORT", "0"),
    ([("X-Forwarded-For", "192.0.2.9:99999")], "REMOTE_PORT", "0"),
    ([("Forwarded", 'for="[2001:db8::7]:4711"')], "REMOTE_PORT", "4711"),
    ([("Forwarded", 'for="192.0.2.9:_hidden"')], "REMOTE_PORT", "0"),
    ([("X-Forwarded-Host", "evil"), ("X-Forwarded-Host", "a.b")], "HTTP_HOST", "a.b"),
    ([("X-Forwarded-Port", "1"), ("X-Forwarded-Port", "443")], "SERVER_PORT", "443"),
    ([("X-Forwarded-Proto", "https")], "SERVER_PORT", "443"),
    ([("Host", "[::1]"), ("X-Forwarded-Proto", "https")], "SERVER_PORT", "443"),
    ([("Forwarded", "host=evil;for=6.6.6.6, host=a.b;for=192.0.2.9")], "HTTP_HOST", "a.b"),
    ([("Forwarded", "host=evil;for=6.6.6.6"), ("Forwarded", "for=192.0.2.9")], "HTTP_HOST", "test"),
    ([("X-Forwarded-For", "6.6.6.6, unknown, 10.0.0.2")], "REMOTE_ADDR", "10.0.0.2"),
    ([("X-Forwarded-For", "2001:db8::5")], "REMOTE_ADDR", "2001:db8::5"),
    ([("X-Forwarded-For", "[2001:db8::5]:80")], "REMOTE_ADDR", "2001:db8::5"),
    ([("X-Forwarded-For", "192.0.2.9:4711")], "REMOTE_ADDR", "192.0.2.9"),
    ([("X-Forwarded-For", "")], "REMOTE_ADDR", "127.0.0.1"),
    ([("X-Forwarded-Host", "example.org")], "HTTP_HOST", "example.org"),
    ([("X-Forwarded-Host", "evil, example.org:8443")], "HTTP_HOST", "example.org:8443"),
    ([("X-Forwarded-Port", "443")], "SERVER_PORT", "443"),
    ([("Forwarded", "for=192.0.2.9;proto=https;host=a.b")], "REMOTE_ADDR", "192.0.2.9"),
    ([("Forwarded", 'For="[2001:db8::7]:80" ; Proto=https')], "REMOTE_ADDR", "2001:db8::7"),
    ([("Forwarded", "for=192.0.2.9;proto=https;host=a.b")], "wsgi.url_scheme", "https"),
    ([("Forwarded", "for=192.0.2.9;proto=https;host=a.b")], "HTTP_HOST", "a.b"),
    ([("Forwarded", "for=6.6.6.6, for=192.0.2.9, for=10.0.0.1")], "REMOTE_ADDR", "192.0.2.9"),
    ([("Forwarded", "for=_hidden;proto=https")], "wsgi.url_scheme", "https"),
]


@pytest.mark.parametrize("headers, key, value", SAYINGS)
def test_trusted_peer_is_believed(trusting, headers, key, value):
    assert environ(trusting, headers)[key] == value


@pytest.mark.parametrize("headers, key, value", SAYINGS)
def test_stranger_is_not(wary, headers, key, value):
    plain, told = environ(wary), environ(wary, headers)
    if key == "REMOTE_PORT":
        assert told[key] not in ("0", value)
    else:
        assert told[key] == plain[key]
    # The field itself stays for the app to see.
    name, value = headers[-1]
    assert value in told["HTTP_" + name.upper().replace("-", "_")]


LIES = [
    ("X-Forwarded-For", "6.6.6.6"),
    ("X-Forwarded-Host", "evil"),
    ("X-Forwarded-Port", "666"),
    ("Forwarded", "for=6.6.6.6;host=evil;proto=https"),
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Real-IP", "6.6.6.6"),
]


def test_a_trusted_peer_is_believed_the_scheme_alone(usual):
    plain, told = environ(usual), environ(usual, [*LIES, ("X-Forwarded-Proto", "https")])
    assert told["wsgi.url_scheme"] == "https"
    assert told["HTTP_HOST"] == "test"
    assert told["REMOTE_ADDR"] == plain["REMOTE_ADDR"] == "127.0.0.1"
    assert told["REMOTE_PORT"].isdigit() and told["SERVER_PORT"] == "443"
    assert environ(usual, LIES)["wsgi.url_scheme"] == "http"
    assert environ(usual, LIES)["SERVER_PORT"] == plain["SERVER_PORT"]
    # What is not believed is not looked at.
    assert environ(usual, [("X-Forwarded-Port", "x"), ("X-Forwarded-Host", "a b")])


@pytest.mark.parametrize("name", ["for", "host", "port"])
def test_only_what_is_named_is_believed(serve, name):
    server = serve("envdump:app", "--trusted-proxy-headers", f"x-forwarded-{name}")
    plain, told = environ(server), environ(server, LIES)
    changed = {
        key for key in ("REMOTE_ADDR", "HTTP_HOST", "SERVER_PORT") if plain[key] != told[key]
    }
    assert changed == {{"for": "REMOTE_ADDR", "host": "HTTP_HOST", "port": "SERVER_PORT"}[name]}


def test_named_in_a_configuration_file(serve, tmp_path):
    config = tmp_path / "conf.py"
    config.write_text('trusted_proxy_headers = ["x-forwarded-for", "x-forwarded-port"]\n')
    told = environ(serve("envdump:app", "-c", config), LIES)
    assert (told["REMOTE_ADDR"], told["HTTP_HOST"], told["SERVER_PORT"]) == (
        "6.6.6.6",
        "test",
        "666",
    )


def test_a_target_of_https(trusting, wary):
    """RFC 9110 section 7.4: only who can know may say that the connection is secured."""
    target = b"GET https://shop.example:8443/a?b HTTP/1.1\r\nHost: x\r\n\r\n"
    with wary.connect() as client:
        client.send(target)
        assert client.response().status == 421
        assert client.at_end()
    with trusting.connect() as client:
        client.send(target)
        told = {key: value for key, (_, value) in client.response().json().items()}
    assert (told["wsgi.url_scheme"], told["HTTP_HOST"]) == ("https", "shop.example:8443")


def of_proxies(told):
    return {key for key in told if key.startswith(("HTTP_X_", "HTTP_FORWARDED"))}


def test_what_does_not_count_is_taken_out(serve):
    headers = [*LIES, ("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "on"), ("X-Other", "1")]
    options = ("--clear-untrusted-proxy-headers", "--trusted-proxy-headers", "x-forwarded-for")
    told = environ(serve("envdump:app", "--forwarded-allow-ips", "192.0.2.1", *options), headers)
    assert of_proxies(told) == {"HTTP_X_OTHER"}
    assert told["wsgi.url_scheme"] == "http"
    # A proxy is believed what is named, and may say what no server reads.
    told = environ(serve("envdump:app", *options), headers)
    assert of_proxies(told) == {
        *("HTTP_X_OTHER", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_SSL"),
        *("HTTP_X_FORWARDED_PREFIX", "HTTP_X_REAL_IP"),
    }


def test_each_request_has_its_own_port(trusting):
    with trusting.connect() as client:
        for port in ("4001", "4002", "4003"):
            told = client.ask("/", headers=[("X-Forwarded-Port", port)]).json()
            assert told["SERVER_PORT"][1] == port
        assert client.ask("/").json()["SERVER_PORT"][1] == str(trusting.binds[0].number)


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "off")],
        [("X-Forwarded-Proto", "http"), ("X-Forwarded-Protocol", "ssl")],
        [("X-Forwarded-Proto", "http"), ("X-Forwarded-Proto", "https")],
        [("X-Forwarded-Proto", "http"), ("Forwarded", "for=1.2.3.4;proto=https")],
        [("X-Forwarded-Host", "a/b")],
        [("X-Forwarded-Host", "a b")],
        [("Forwarded", 'host="a b"')],
        [("X-Forwarded-Port", "80x")],
        [("X-Forwarded-Port", "100000")],
        [("X-Forwarded-Port", "65536")],
        [("X-Forwarded-For", "192.0.2.9"), ("Forwarded", "for=6.6.6.6")],
        [("X-Forwarded-Host", "a.b"), ("Forwarded", "host=evil")],
    ],
)
def test_contradictions_are_refused(trusting, wary, headers):
    assert environ(trusting, headers) == 400
    assert environ(wary, headers)["wsgi.url_scheme"] == "http"


def test_with_star_the_nearest_proxy_is_believed(serve):
    """What stands left of its word may be the client's."""
    server = serve("envdump:app", "--forwarded-allow-ips", "*", *NAMED)
    told = environ(server, [("X-Forwarded-For", "6.6.6.6, 192.0.2.9")])
    assert told["REMOTE_ADDR"] == "192.0.2.9"
    told = environ(server, [("Forwarded", "for=6.6.6.6;proto=http, for=192.0.2.9;proto=https")])
    assert (told["REMOTE_ADDR"], told["wsgi.url_scheme"]) == ("192.0.2.9", "https")


def test_environment_variable(serve):
    server = serve("envdump:app", env={"FORWARDED_ALLOW_IPS": "192.0.2.0/24"})
    assert environ(server, [("X-Forwarded-Proto", "https")])["wsgi.url_scheme"] == "http"


def test_unix_peer_is_trusted(serve, tmp_path):
    server = serve("envdump:app", "--forwarded-allow-ips", "", binds=[UnixPath(tmp_path / "s")])
    plain, told = environ(server), environ(server, [*LIES, ("X-Forwarded-Proto", "https")])
    assert told["wsgi.url_scheme"] == "https"
    assert (told["HTTP_HOST"], told["REMOTE_ADDR"]) == ("test", "")
    assert (plain["SERVER_PORT"], told["SERVER_PORT"]) == ("80", "443")


def test_cloud_run_default_is_said_by_its_variable(serve):
    """Its front end's network is added; loopback stays. It always says whom it speaks for."""
    server = serve("envdump:app", env={"K_SERVICE": "service"})
    told = environ(server, [*LIES[1:], ("X-Forwarded-For", "6.6.6.6, 192.0.2.9, 169.254.8.1")])
    assert told["REMOTE_ADDR"] == "192.0.2.9"
    assert told["HTTP_HOST"] == "test"
    nothing = serve("envdump:app", "--trusted-proxy-headers", "", env={"K_SERVICE": "service"})
    assert environ(nothing, LIES)["REMOTE_ADDR"] == "127.0.0.1"


def test_underscore_names(serve):
    headers = [("X_Forwarded_Proto", "https"), ("X_A", "1")]
    assert "HTTP_X_A" not in environ(serve("envdump:app"), headers)
    assert environ(serve("envdump:app", "--header-map", "refuse"), headers) == 400
    kept = environ(serve("envdump:app", "--header-map", "dangerous"), headers)
    assert kept["HTTP_X_A"] == "1" and kept["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize("mode, header", [("v1", V1), ("v2", V2), ("auto", V1), ("auto", V2)])
def test_proxy_header(serve, mode, header):
    server = serve("envdump:app", "--proxy-protocol", mode)
    got = environ(server, before=header)
    assert (got["REMOTE_ADDR"], got["REMOTE_PORT"]) == ("192.0.2.7", "4711")
    assert (got["PROXY_ADDR"], got["PROXY_PORT"]) == ("198.51.100.1", "443")
    assert got["PROXY_PROTOCOL"] == "TCP4"
    with server.connect() as client:
        for byte in header + request("/"):
            client.send(bytes([byte]))
        assert client.response().json()["REMOTE_ADDR"][1] == "192.0.2.7"
        # One header stands for the whole connection, and a second one is no request.
        assert client.ask("/").json()["REMOTE_ADDR"][1] == "192.0.2.7"
        client.send(header + request("/"))
        assert client.response().status == 400
        assert client.at_end()


def test_proxy_header_that_tells_nothing(serve):
    server = serve("envdump:app", "--proxy-protocol", "auto")
    for header in (b"", V2_LOCAL, b"PROXY UNKNOWN\r\n"):
        assert environ(server, before=header)["REMOTE_ADDR"] == "127.0.0.1"


@pytest.mark.parametrize("mode", ["v1", "v2"])
@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"PROXY TCP4 a b 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31",
    ],
)
def test_bad_proxy_header_ends_the_connection(serve, mode, header):
    server = serve("envdump:app", "--proxy-protocol", mode)
    with server.connect() as client:
        client.send(header + request("/"))
        client.finish_sending()
        assert client.read() == b""


def test_proxy_header_from_a_stranger(serve):
    args = ("--proxy-allow-from", "192.0.2.0/24", "--proxy-protocol")
    server = serve("envdump:app", *args, "v1")
    with server.connect() as client:
        assert client.read() == b""
    server.wait_log("not in --proxy-allow-from")
    server = serve("envdump:app", *args, "auto")
    assert environ(server)["REMOTE_ADDR"] == "127.0.0.1"
    with server.connect() as client:
        client.send(V1 + request("/"))
        assert client.response().status == 400


@pytest.mark.parametrize(
    "option, value, word",
    [
        ("--forwarded-allow-ips", "nowhere", "nowhere"),
        ("--forwarded-allow-ips", "10.0.0.0/33", "10.0.0.0/33"),
        ("--proxy-allow-from", "1.2.3", "1.2.3"),
        ("--trusted-proxy-headers", "x-forwarded-for,x-real-ip", "'x-real-ip'"),
        ("--trusted-proxy-headers", "*", "'*'"),
        ("--proxy-protocol=v3", None, "v3"),
        ("--header-map", "maybe", "maybe"),
    ],
)
def test_bad_values_are_named(option, value, word):
    result = run(*filter(None, (option, value)), "hello:app")
    assert result.returncode == 1
    assert option.partition("=")[0] in result.stderr and word in result.stderr
    assert len(result.stderr.splitlines()) == 1
