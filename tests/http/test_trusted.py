"""What a trusted proxy may say beside addresses: its prefix, its fields, its scheme."""

import pytest
from server import APPS, run


def test_script_name_of_a_trusted_proxy(serve):
    server = serve("observed:app", "--forwarded-allow-ips", "127.0.0.1")
    asked = "/shop/environ?SCRIPT_NAME,PATH_INFO,RAW_URI,HTTP_SCRIPT_NAME,HTTP_PATH_INFO,HTTP_X_Y"
    headers = [("SCRIPT_NAME", "/shop"), ("PATH_INFO", "/p"), ("X_Y", "1")]
    said = server.get(asked, headers).body.decode().splitlines()
    assert said == [
        *("SCRIPT_NAME=/shop", "PATH_INFO=/environ", f"RAW_URI={asked}"),
        *("HTTP_SCRIPT_NAME=/shop", "HTTP_PATH_INFO=/p", "HTTP_X_Y=None"),
    ]
    assert server.get("/environ?SCRIPT_NAME").body == b"SCRIPT_NAME="
    assert server.get("/environ", [("SCRIPT_NAME", "/shop")]).status == 500


def test_chosen_forwarder_headers(serve):
    options = ("--forwarded-allow-ips", "127.0.0.1", "--forwarder-headers", "X_Y")
    server = serve("observed:app", *options)
    asked = "/environ?SCRIPT_NAME,HTTP_SCRIPT_NAME,HTTP_X_Y"
    said = server.get(asked, [("SCRIPT_NAME", "/shop"), ("X_Y", "1")])
    assert said.body == b"SCRIPT_NAME=\nHTTP_SCRIPT_NAME=None\nHTTP_X_Y=1"


def test_a_mount_behind_a_proxy_with_a_prefix(serve):
    options = ("--forwarded-allow-ips", "127.0.0.1", "--mount", "/shop=observed:app")
    server = serve("hello:app", *options)
    asked = "/base/shop/environ?SCRIPT_NAME,PATH_INFO"
    said = server.get(asked, [("SCRIPT_NAME", "/base")])
    assert said.body == b"SCRIPT_NAME=/base/shop\nPATH_INFO=/environ"


@pytest.mark.parametrize("env", [{}, {"K_SERVICE": "shop"}])
def test_a_prefix_counts_only_where_proxies_are_named(serve, env):
    """Else a client behind a proxy that drops no underscores moves its path past rules."""
    server = serve("observed:app", "--forwarder-headers", "SCRIPT_NAME,PATH_INFO", env=env)
    headers = [("SCRIPT_NAME", "/x"), ("PATH_INFO", "/p")]
    asked = "SCRIPT_NAME,PATH_INFO,HTTP_SCRIPT_NAME,HTTP_PATH_INFO"
    said = server.get(f"/x/environ?{asked}", headers)
    assert said.status == 404
    said = server.get(f"/environ?{asked}", headers).body.decode().splitlines()
    assert said == [
        *("SCRIPT_NAME=", "PATH_INFO=/environ"),
        *("HTTP_SCRIPT_NAME=None", "HTTP_PATH_INFO=None"),
    ]
    assert "--forwarder-headers has no effect" in server.log()


@pytest.mark.parametrize("how", ["variable", "file"])
def test_a_prefix_where_proxies_are_named_otherwise(serve, tmp_path, how):
    config = tmp_path / "conf.py"
    config.write_text('forwarded_allow_ips = "127.0.0.1"\n' if how == "file" else "")
    env = {"FORWARDED_ALLOW_IPS": "127.0.0.1"} if how == "variable" else {}
    server = serve("observed:app", "-c", config, env=env)
    said = server.get("/x/environ?SCRIPT_NAME,PATH_INFO", [("SCRIPT_NAME", "/x")])
    assert said.body == b"SCRIPT_NAME=/x\nPATH_INFO=/environ"


def test_a_prefix_that_is_kept_but_not_allowed(serve):
    """--header-map dangerous lets fields of these names through, as fields."""
    options = ("--header-map", "dangerous", "--forwarded-allow-ips", "127.0.0.1")
    server = serve("observed:app", *options, "--forwarder-headers", "X_Y")
    said = server.get("/environ?SCRIPT_NAME,HTTP_SCRIPT_NAME", [("SCRIPT_NAME", "/x")])
    assert said.body == b"SCRIPT_NAME=\nHTTP_SCRIPT_NAME=/x"


def test_script_name_of_a_stranger(serve):
    server = serve("observed:app", "--forwarded-allow-ips", "192.0.2.1")
    said = server.get("/environ?SCRIPT_NAME,HTTP_SCRIPT_NAME", [("SCRIPT_NAME", "/shop")])
    assert said.body == b"SCRIPT_NAME=\nHTTP_SCRIPT_NAME=None"


def test_chosen_scheme_headers(serve, tmp_path):
    config = tmp_path / "conf.py"
    config.write_text('secure_scheme_headers = {"X-SCHEME": "tls"}\n')
    server = serve("observed:app", "-c", config)
    asked = "/environ?wsgi.url_scheme"
    assert server.get(asked, [("X-Scheme", "tls")]).body == b"wsgi.url_scheme=https"
    assert server.get(asked, [("X-Forwarded-Proto", "https")]).body == b"wsgi.url_scheme=http"


def test_wrong_scheme_headers_are_an_error(tmp_path):
    config = tmp_path / "conf.py"
    config.write_text('secure_scheme_headers = {"": "https"}\n')
    done = run("-c", config, "-b", "127.0.0.1:0", "--chdir", APPS, "observed:app")
    assert done.returncode == 1
    assert "secure_scheme_headers" in done.stderr
