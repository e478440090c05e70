"""Behind a real nginx as it is out of the box, with clients that lie to it."""

import os
import shutil
import subprocess

import pytest
from client import Client, request, wait_for
from server import Port, UnixPath, tied_to_this_process

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")

pytestmark = pytest.mark.skipif(not NGINX, reason="nginx is not installed (make .venv/.tests)")

CONFIG = """
{user}
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp;
    uwsgi_temp_path temp; scgi_temp_path temp;
    server {{
        listen {listen};
        location / {{
            proxy_pass {upstream};
            {lines}
        }}
    }}
}}
"""

LIES = [
    ("X-Forwarded-For", "6.6.6.6"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Port", "666"),
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Real-IP", "6.6.6.6"),
    ("Forwarded", "for=6.6.6.6;host=evil.example;proto=https"),
    ("SCRIPT_NAME", "/x"),
    ("PATH_INFO", "/evil"),
]
# What docs/proxies.md says for both sides.
SAID = """
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
"""


class Nginx:
    """One nginx in a folder and on a port of its own."""

    def __init__(self, folder, server, lines=""):
        self.port = Port()
        bind = server.binds[0]
        upstream = f"http://{bind}" if isinstance(bind, Port) else f"http://unix:{bind.path}:"
        folder.mkdir()
        values = {"listen": self.port, "upstream": upstream, "lines": lines}
        values["user"] = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(CONFIG.format(**values))
        # It binds the port itself.
        self.port.close()
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                [NGINX, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=tied_to_this_process,
            )
        wait_for(self.accepts, lambda: f"nginx to listen: {(folder / 'log').read_text()}")

    def accepts(self):
        assert self.process.poll() is None
        try:
            self.port.connect().close()
        except OSError:
            return False
        return True

    def environ(self, headers=(), path="/"):
        with Client(self.port.connect()) as client:
            client.send(request(path, headers=headers))
            response = client.response()
        assert response.status == 200, response
        return {key: value for key, (_, value) in response.json().items()}

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def nginx(tmp_path):
    running = []

    def start(server, lines=""):
        running.append(Nginx(tmp_path / f"nginx{len(running)}", server, lines))
        return running[-1]

    yield start
    for one in running:
        one.stop()


def test_nginx_passes_a_clients_fields_on(serve, nginx):
    """What the rule is there for. It drops names with underscores only."""
    told = nginx(serve("envdump:app")).environ(LIES)
    for name, value in LIES[:-2]:
        assert told["HTTP_" + name.upper().replace("-", "_")] == value
    assert "HTTP_SCRIPT_NAME" not in told and "HTTP_PATH_INFO" not in told


@pytest.mark.parametrize("unix", [False, True])
def test_a_liar_is_believed_nothing(serve, nginx, tmp_path, unix):
    server = serve("envdump:app", binds=[UnixPath(tmp_path / "s")] if unix else None)
    front = nginx(server)
    plain, told = front.environ(), front.environ(LIES)
    for key in ("HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "wsgi.url_scheme"):
        assert told[key] == plain[key], key
    assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("", "/")
    assert told["REMOTE_ADDR"] == ("" if unix else "127.0.0.1")


@pytest.mark.parametrize("allowed", ["127.0.0.1", "*"])
def test_a_liar_behind_the_documented_lines(serve, nginx, allowed):
    options = ("--forwarded-allow-ips", allowed, "--trusted-proxy-headers", "x-forwarded-for")
    front = nginx(serve("envdump:app", *options), SAID)
    told = front.environ([*LIES, ("X-Forwarded-Proto", "https")])
    assert told["HTTP_HOST"] == "test"
    assert told["wsgi.url_scheme"] == "http"
    if allowed == "*":
        assert told["REMOTE_ADDR"] == "127.0.0.1"
    else:
        # nginx's word is its own peer, which is trusted here: the next one may be a client's.
        assert told["REMOTE_ADDR"] == "6.6.6.6"


def test_a_client_on_a_trusted_address_speaks_for_others(serve, nginx):
    """Where a proxy's own clients are no trusted addresses, what they claim never counts."""
    options = ("--forwarded-allow-ips", "127.0.0.1", "--trusted-proxy-headers", "x-forwarded-for")
    lines = "proxy_set_header X-Forwarded-For '$http_x_forwarded_for, 192.0.2.9';"
    told = nginx(serve("envdump:app", *options), lines).environ(LIES)
    assert told["REMOTE_ADDR"] == "192.0.2.9"


def test_fields_that_do_not_count_are_kept_from_the_app(serve, nginx, tmp_path):
    front = nginx(serve("envdump:app", "--clear-untrusted-proxy-headers"))
    told = front.environ(LIES)
    known = {"HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT"}
    assert not {*known, "HTTP_FORWARDED"} & set(told)
