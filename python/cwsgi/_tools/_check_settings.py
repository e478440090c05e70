"""Settings that fight the platform, and trust that anybody could use."""

import os
import re

from . import _machine
from ._findings import ADVICE, ERROR, WARNING, Finding
from ._run import Settings

LOCAL = re.compile(r"(127\.|localhost(:|$)|\[::1\]|::1$)")
BALANCER_S = 60  # the idle time of most load balancers
GOOGLE_S = 600  # of Google's
CLOUD_RUN_S = 10  # from TERM to KILL


def check(settings: Settings) -> list[Finding]:
    return [
        *binds(settings),
        *workers(settings),
        *times(settings),
        *trust(settings),
        *background(settings),
        *no_effect(settings),
    ]


def _tcp(settings: Settings) -> list[str]:
    return [one for one in settings.items("bind") if not one.startswith(("unix:", "fd://", "@"))]


def _port(address: str) -> str:
    if address.isdigit():
        return address
    host, colon, port = address.rpartition(":")
    return port if colon and port.isdigit() and not host.endswith(":") else ""


def binds(settings: Settings) -> list[Finding]:
    found = []
    tcp, port = _tcp(settings), os.environ.get("PORT", "")
    platform = bool(port) or _machine.in_container()
    if tcp and platform and all(LOCAL.match(one) for one in tcp):
        found.append(
            Finding(
                "bind-localhost",
                ERROR,
                f"the server listens on {', '.join(tcp)} only, inside of a container",
                "nobody outside of the container can connect; the platform takes it for dead",
                "leave --bind out: the default is 0.0.0.0 and $PORT",
                [f"bind: from {settings.sources.get('bind', '?')}"],
            )
        )
    named = {_port(one) for one in tcp} - {""}
    if port.isdigit() and tcp and named and port not in named:
        found.append(
            Finding(
                "port-ignored",
                ERROR,
                f"$PORT is {port}, and the server listens on {', '.join(sorted(named))}",
                "the platform waits for a port that never opens, then ends the container",
                "leave --bind out, or leave the port out of it: $PORT is the default",
                [f"bind: from {settings.sources.get('bind', '?')}"],
            )
        )
    return found


def workers(settings: Settings) -> list[Finding]:
    count, cpus = int(settings.number("workers")), _machine.cpus()
    if not settings.is_given("workers") or count <= 2 * cpus + 1:
        return []
    return [
        Finding(
            "workers-over-cpus",
            WARNING,
            f"{count} workers share {cpus} processor{'s' * (cpus > 1)}",
            "each worker holds the app in memory and takes its time to start, and they wait for "
            "each other's processor",
            f"--workers {cpus}, and --threads for requests that wait for others; left out, "
            "cwsgi takes the processors that it is granted",
        )
    ]


def times(settings: Settings) -> list[Finding]:
    found = []
    keep, grace = settings.number("keepalive"), settings.number("graceful_timeout")
    least = GOOGLE_S if _machine.on_cloud_run() else BALANCER_S
    if settings.is_given("keepalive") and 0 < keep <= least and _tcp(settings):
        found.append(
            Finding(
                "keepalive-short",
                WARNING,
                f"idle connections are closed after {keep:g} s, before a load balancer would",
                f"a request that the balancer sends at that moment is lost: 502 now and then "
                f"(most wait {BALANCER_S} s, Google's {GOOGLE_S} s)",
                "leave --keep-alive out: the default is 620 s",
            )
        )
    if _machine.on_cloud_run() and settings.is_given("graceful_timeout") and grace >= CLOUD_RUN_S:
        found.append(
            Finding(
                "grace-too-long",
                WARNING,
                f"--graceful-timeout is {grace:g} s, and Cloud Run kills after {CLOUD_RUN_S} s",
                "requests that run longer are cut off, and on_shutdown functions never run",
                "leave --graceful-timeout out: cwsgi takes 9 s on Cloud Run",
            )
        )
    timeout, request = settings.number("timeout"), settings.number("request_timeout")
    if 0 < timeout <= request:
        found.append(
            Finding(
                "timeouts-crossed",
                WARNING,
                f"--timeout ({timeout:g} s) ends a worker before --request-timeout "
                f"({request:g} s) ends its request",
                "a slow request costs its worker, with all that runs there, where it could cost "
                "a 504",
                "--timeout larger than --request-timeout, or 0",
            )
        )
    return found


def trust(settings: Settings) -> list[Finding]:
    found = []
    for name, option in (
        ("forwarded_allow_ips", "--forwarded-allow-ips"),
        ("proxy_allow_ips", "--proxy-allow-from"),
    ):
        wide = [one for one in settings.items(name) if one in ("*", "0.0.0.0/0", "::/0")]
        used = name != "proxy_allow_ips" or settings["proxy_protocol"] not in ("off", "None", "")
        if wide and used and any(not LOCAL.match(one) for one in _tcp(settings)):
            found.append(
                Finding(
                    "trust-anybody",
                    WARNING,
                    f"{option} is {wide[0]}: whoever connects says who and how secure it is",
                    "a client that reaches the port can forge its address and https, and with "
                    "them what the app allows and logs",
                    "name the proxies' addresses (docs/proxies.md); on Cloud Run nothing has to "
                    "be set",
                    [f"{name}: from {settings.sources.get(name, '?')}"],
                )
            )
    return found


def background(settings: Settings) -> list[Finding]:
    if not settings.is_on("daemon") or not _machine.in_container():
        return []
    return [
        Finding(
            "daemon-in-container",
            ERROR,
            "--daemon in a container",
            "the process that the container runs ends at once, and the container with it",
            "leave --daemon out",
        )
    ]


def no_effect(settings: Settings) -> list[Finding]:
    if not settings.notices:
        return []
    return [
        Finding(
            "option-no-effect",
            ADVICE,
            f"{len(settings.notices)} of gunicorn's options have no effect here",
            "none",
            "leave them out",
            settings.notices,
        )
    ]
