"""Requests of --warmup: the app sees them as it sees any other one."""

import json

import pytest
from server import APPS


def environs(server, name):
    return [json.loads(line) for line in server.marks(name)]


def split(server, name):
    return [(env["SCRIPT_NAME"], env["PATH_INFO"]) for env in environs(server, name)]


def warmed(serve, app, *paths, **kwargs):
    options = [word for path in paths for word in ("--warmup", path)]
    return serve(app, *options, **kwargs)


def test_environ(serve):
    paths = ["/", "/a%20b/%C3%A9%zz?x=%20&y", "/no?", "/a b#c", "/é"]
    server = warmed(serve, "warming:main", *paths)
    first, second, third, fourth, fifth = environs(server, "main")
    assert first == {
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "RAW_URI": "/",
        "REQUEST_METHOD": "GET",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
    }
    assert second["PATH_INFO"] == "/a b/\xc3\xa9%zz"
    assert second["QUERY_STRING"] == "x=%20&y"
    assert second["RAW_URI"] == paths[1]
    assert (third["PATH_INFO"], third["QUERY_STRING"]) == ("/no", "")
    # Bytes that no client can send there.
    assert (fourth["PATH_INFO"], fourth["RAW_URI"]) == ("/a b#c", "/a%20b%23c")
    assert (fifth["PATH_INFO"], fifth["RAW_URI"]) == ("/\xc3\xa9", "/%C3%A9")
    assert server.marks("closed") == ["main"] * 5
    assert "[INFO] warm-up of / answered 200 OK in " in server.log()


def test_script_name(serve):
    """Outside of $SCRIPT_NAME there is no app, for these requests as for others."""
    server = warmed(serve, "warming:main", "/api/x", "/api", "/apix", env={"SCRIPT_NAME": "/api"})
    assert split(server, "main") == [("/api", "/x"), ("/api", "")]
    assert "warm-up of /apix answered 404 Not Found in " in server.log()
    assert server.get("/apix").status == 404


def test_mounts(serve):
    mounts = ["--mount", "/a=warming:outer", "--mount", "/a/b=warming:inner"]
    server = serve(
        "warming:main",
        *mounts,
        *(f"--warmup={path}" for path in ("/", "/a/x?y", "/a/b", "/a/b/c%20d", "/ab")),
    )
    assert split(server, "main") == [("", "/"), ("", "/ab")]
    assert split(server, "outer") == [("/a", "/x")]
    assert split(server, "inner") == [("/a/b", ""), ("/a/b", "/c d")]


@pytest.mark.parametrize(
    "app, status", [("checked", "404 Not Found"), ("hinted", "204 No Content")]
)
def test_answers_that_are_no_failure(serve, app, status):
    server = warmed(serve, f"warming:{app}", "/x")
    assert f"warm-up of /x answered {status} in " in server.log()


def test_what_comes_after_the_response(serve):
    server = warmed(serve, "warming:after", "/")
    assert server.marks("after") == [""]


def test_file(serve):
    server = warmed(serve, "warming:file", "/")
    assert "warm-up of / answered 200 OK in " in server.log()
    assert server.get("/").body == (APPS / "warming.py").read_bytes()


def test_none_is_counted_or_logged(serve):
    server = serve(
        "warming:main", "--warmup", "/", "--metrics", "/metrics", "--access-logfile", "-"
    )
    assert b"cwsgi_requests_total{" not in server.get("/metrics").body
    assert "GET / HTTP" not in server.log()


@pytest.mark.parametrize(
    "app, said, error",
    [
        ("torn", "did not get a whole response", "OSError: torn"),
        ("short", "did not get a whole response", ""),
        ("early", "answered 500 Internal Server Error", "start_response"),
        ("late_error", "answered 500 Oops", ""),
    ],
)
def test_failures(serve, app, said, error):
    server = serve(f"warming:{app}", "--warmup", "/x", "--warmup", "/y", wait=False)
    server.expected_exit = {3}
    assert server.wait_exit() == 3
    assert f"worker cannot serve: warm-up of /x {said}" in server.log()
    assert error in server.log() and "/y" not in server.log()
    assert server.binds[0].refuses()


def test_path_that_no_client_may_ask_for(serve):
    server = serve("warming:main", "--warmup", "/" + "x" * 9000, wait=False)
    server.expected_exit = {3}
    assert server.wait_exit() == 3
    assert "would be refused with 414 URI Too Long" in server.log()
