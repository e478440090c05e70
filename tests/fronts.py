"""Real proxies in front of a server, told what docs/proxies.md shows."""

import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from client import SLOW, Client, request, wait_for
from server import Port, tied_to_this_process

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "proxies.md").read_text()
PATHS = os.environ.get("PATH", "") + ":/usr/sbin"
MODULES = "/usr/lib/apache2/modules"
# The client's: a loopback address that is no trusted one.
CLIENT = "127.0.0.2"


def section(title):
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def documented_lines(title):
    """The proxy's side, with the address of the app that the page has for all."""
    lines = section(title).split("```\n")[1]
    assert lines.count("127.0.0.1:8080") == 1
    return lines


def documented_options(title):
    """The server's side."""
    return shlex.split(re.search(r"^    cwsgi (.*)main:app$", section(title), re.M)[1])


class Front:
    """One proxy in a folder and on a port of its own. `title` is its section of the page.

    `lines` stand in its configuration with the app's address as 127.0.0.1:8080; None: the least
    that makes it a proxy. `tls`: folder with cert.pem and key.pem, both in all.pem.
    """

    def __init__(self, folder, server, lines=None, tls=None):
        self.folder, self.tls, self.port = folder, tls, Port()
        folder.mkdir()
        lines = self.towards(server.binds[0], lines or self.plain)
        (folder / "conf").write_text(self.config(lines))
        # It binds the port itself.
        self.port.close()
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=folder,
                env={"PATH": PATHS, "HOME": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=tied_to_this_process,
            )
        wait_for(self.accepts, lambda: f"a proxy: {(folder / 'log').read_text()}", 20 * SLOW)

    @classmethod
    def program(cls):
        return shutil.which(cls.name, path=PATHS)

    def towards(self, bind, lines):
        """`lines` with another address of the app, in this proxy's words."""
        return lines.replace(
            "127.0.0.1:8080", str(bind) if isinstance(bind, Port) else self.unix(bind)
        )

    def accepts(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            self.port.connect().close()
        except OSError:
            return False
        return True

    def connect(self, timeout=20):
        """A client on CLIENT."""
        sock = socket.create_connection(
            (self.port.host, self.port.number), 20 * SLOW, source_address=(CLIENT, 0)
        )
        if self.tls:
            context = ssl.create_default_context(cafile=self.tls / "cert.pem")
            sock = context.wrap_socket(sock, server_hostname="test")
        return Client(sock, timeout)

    def ask(self, headers=(), path="/"):
        with self.connect() as client:
            client.send(request(path, headers=headers))
            return client.response()

    def environ(self, headers=(), path="/"):
        response = self.ask(headers, path)
        assert response.status == 200, response
        return {key: value for key, (_, value) in response.json().items()}

    def stop(self):
        self.process.terminate()
        self.process.wait(20 * SLOW)


class Nginx(Front):
    title, name = "nginx", "nginx"
    plain = "location / { proxy_pass http://127.0.0.1:8080; }"

    def unix(self, bind):
        return f"unix:{bind.path}:"

    def command(self):
        return [self.program(), "-p", str(self.folder), "-c", "conf", "-e", "stderr"]

    def config(self, lines):
        listen = str(self.port)
        if self.tls:
            listen += f" ssl; ssl_certificate {self.tls}/cert.pem"
            listen += f"; ssl_certificate_key {self.tls}/key.pem"
        return self.whole(f"server {{ listen {listen}; {lines} }}")

    def whole(self, http):
        return f"""
            {"user root;" if os.geteuid() == 0 else ""}
            daemon off;
            worker_processes 1;
            pid nginx.pid;
            error_log stderr;
            events {{ worker_connections 64; }}
            http {{
                access_log off;
                client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp;
                uwsgi_temp_path temp; scgi_temp_path temp;
                {http}
            }}
            """


class HAProxy(Front):
    title, name = "HAProxy", "haproxy"
    plain = "backend app\n    server app 127.0.0.1:8080\n"

    def unix(self, bind):
        return f"unix@{bind.path}"

    def command(self):
        return [self.program(), "-db", "-f", "conf"]

    def config(self, lines):
        return f"""
defaults
    mode http
    timeout connect 20s
    timeout client 60s
    timeout server 60s
frontend front
    bind {self.port}{f" ssl crt {self.tls}/all.pem" if self.tls else ""}
    default_backend app
{lines}"""


class Caddy(Front):
    title, name = "Caddy", "caddy"
    plain = "example.org {\n    reverse_proxy 127.0.0.1:8080\n}\n"

    def unix(self, bind):
        return f"unix/{bind.path}"

    def command(self):
        return [self.program(), "run", "--config", "conf", "--adapter", "caddyfile"]

    def config(self, lines):
        site, tls = f"http://:{self.port.number} {{", ""
        if self.tls:
            site, tls = (
                f"https://test:{self.port.number} {{",
                f"    tls {self.tls}/cert.pem {self.tls}/key.pem\n",
            )
        assert lines.startswith("example.org {\n")
        lines = lines.replace("example.org {\n", f"{site}\n    bind 127.0.0.1\n{tls}")
        return "{\n    admin off\n    auto_https disable_redirects\n}\n" + lines


class Apache(Front):
    title, name = "Apache", "apache2"
    plain = "ProxyPass / http://127.0.0.1:8080/\n"

    def towards(self, bind, lines):
        if not isinstance(bind, Port):
            lines = lines.replace("http://127", f"unix:{bind.path}|http://127")
        return super().towards(bind, lines)

    def unix(self, bind):
        return "localhost"

    def command(self):
        return [self.program(), "-D", "FOREGROUND", "-d", str(self.folder), "-f", "conf"]

    def config(self, lines):
        modules = ["mpm_event", "authz_core", "proxy", "proxy_http", "headers"]
        tls = ""
        if self.tls:
            modules.append("ssl")
            tls = f"SSLEngine on\nSSLCertificateFile {self.tls}/all.pem\n"
        loaded = "".join(f"LoadModule {m}_module {MODULES}/mod_{m}.so\n" for m in modules)
        return f"""
{loaded}
{"User nobody" if os.geteuid() == 0 else ""}
{"Group nogroup" if os.geteuid() == 0 else ""}
Listen {self.port}
ServerName test
PidFile {self.folder}/pid
DefaultRuntimeDir {self.folder}
ErrorLog /dev/stderr
{tls}{lines}"""


ALL = [Nginx, HAProxy, Caddy, Apache]


def each(fronts):
    """Parameters, those that are not installed skipped."""
    return [
        pytest.param(
            one,
            id=one.name,
            marks=pytest.mark.skipif(
                not one.program(), reason=f"{one.name} is not installed (make .venv/.tests)"
            ),
        )
        for one in fronts
    ]
