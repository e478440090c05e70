"""Addresses in every form that --bind takes, and what is said of those that cannot be had."""

import re
import signal
import socket

import pytest
from client import wait_for
from server import Port, no_tsan, run, timed


def listening(server):
    wait_for(lambda: "Listening at" in server.log(), server.log, 10)
    return re.search(r"Listening at: (\S+)", server.log())[1]


@pytest.mark.parametrize(
    "bind, shown",
    [
        ("0.0.0.0", "http://0.0.0.0:{}"),
        ("127.0.0.1", "http://127.0.0.1:{}"),
        ("localhost", "http://localhost:{}"),
        ("[::1]", "http://[::1]:{}"),
        ("tcp://127.0.0.1", "http://127.0.0.1:{}"),
        ("tcp://127.0.0.1:{}", "http://127.0.0.1:{}"),
        (":{}", "http://0.0.0.0:{}"),
    ],
)
def test_a_host_alone_gets_the_port_of_the_environment(serve, bind, shown):
    port = Port()
    server = serve(
        "hello:app",
        "--bind",
        bind.format(port.number),
        binds=[port],
        bind_options=False,
        env={"PORT": port.number},
        wait=False,
    )
    assert listening(server) == shown.format(port.number)


def printed_bind(*options, **kwargs):
    result = run("--print-config", *options, "hello:app", **kwargs)
    return re.search(r"^bind += (.*)  # (.*)$", result.stdout, re.M).groups()


def test_the_bind_in_effect_is_printed(serve):
    folder = {"cwd": re.sub(r"/[^/]*$", "/../apps", __file__)}
    assert printed_bind("-b", "0.0.0.0", **folder)[0] == "0.0.0.0:8000"
    assert printed_bind("-b", "[::1],tcp://a:1", **folder)[0] == "[::1]:8000,a:1"
    assert printed_bind(**folder) == ("0.0.0.0:8080", "default")
    assert printed_bind(**folder, env={"PORT": "81"})[0] == "0.0.0.0:81"


@pytest.mark.parametrize(
    "bind, said",
    [
        (":", "':' lacks a port"),
        ("", "'' lacks an address"),
        ("::1", "[::1]"),
        ("1.2.3.4:x", "'1.2.3.4:x' is not HOST, HOST:PORT"),
        ("1.2.3.4:65536", "is not HOST"),
        ("[::1", "is not HOST"),
    ],
)
def test_what_is_no_address(bind, said):
    result = run("--bind", bind, "hello:app")
    assert result.returncode == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("options", [[], ["--bind", "127.0.0.1"]])
def test_a_bad_port_is_named_as_a_variable(options):
    result = run(*options, "hello:app", env={"PORT": "many"})
    assert result.returncode == 1
    assert "environment variable PORT is no port number: 'many'" in result.stderr
    result = run(*options, "hello:app", env={"PORT": "tcp://10.0.0.1:80"})
    assert "Kubernetes" in result.stderr
    assert run("-b", "unix:x", "--print-config", "hello:app", env={"PORT": "x"}).stdout


def test_an_address_in_use_is_tried_for_a_while():
    with socket.create_server(("127.0.0.1", 0)) as other:
        name = f"127.0.0.1:{other.getsockname()[1]}"
        result, seconds = timed(run, "-b", name, "hello:app")
    assert result.returncode == 1
    assert result.stderr.count(f"{name} is in use; trying again in 1 s") == 4
    assert f"{name} is in use: stop what listens there" in result.stderr.splitlines()[-1]
    assert seconds >= 4


def test_an_address_that_becomes_free_is_taken(serve):
    with socket.create_server(("127.0.0.1", 0)) as other:
        name = f"127.0.0.1:{other.getsockname()[1]}"
        server = serve("hello:app", "-b", name, binds=[Port()], bind_options=False, wait=False)
        server.wait_log("trying again")
    assert listening(server) == f"http://{name}"


def test_stop_while_an_address_is_awaited(serve):
    with socket.create_server(("127.0.0.1", 0)) as other:
        name = f"127.0.0.1:{other.getsockname()[1]}"
        server = serve("hello:app", "-b", name, binds=[Port()], bind_options=False, wait=False)
        server.wait_log("trying again")
        assert server.stop(signal.SIGTERM) == 0
        assert server.log().count("trying again") == 1


@pytest.mark.parametrize("order", [1, -1])
def test_the_address_that_cannot_be_had_beside_another_is_named(order):
    port = Port("::1").number
    first, second = [f"0.0.0.0:{port}", f"[::]:{port}"][::order]
    result = run("-b", first, "-b", second, "hello:app")
    assert result.returncode == 1
    assert result.stderr.startswith(f"cwsgi: {second} is in use")


@no_tsan
def test_a_low_port_without_rights(for_nobody, tmp_path):
    import os

    import server

    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
            if int(file.read()) < 2:
                pytest.skip("everybody may bind low ports here")
    except OSError:
        pass
    package = for_nobody["env"]["PYTHONPATH"]
    program = tmp_path / "cwsgi"
    program.write_bytes(open(server.program()[0], "rb").read())
    program.chmod(0o755)
    env = {**for_nobody["env"], "PYTHONPATH": package}
    command = ["setpriv", "--reuid", "65534", "--clear-groups", str(program)]
    result = run("--bind", ":80", "hello:app", command=command, env=env, cwd=for_nobody["chdir"])
    assert os.getuid() == 0
    assert result.returncode == 1
    assert "cannot bind :80: Permission denied" in result.stderr
    assert "CAP_NET_BIND_SERVICE" in result.stderr
