"""What the loaded app is: debug modes, logging, versions, what trusts headers."""

import datetime
from typing import Any

from . import _machine
from ._findings import ADVICE, ERROR, WARNING, Finding
from ._run import Settings

Seen = dict[str, Any]

# The last day of support, of the versions that had one when this was written. Sources:
# Python: https://devguide.python.org/versions/ (the end of the month that it names);
# Django: https://www.djangoproject.com/download/#supported-versions;
# Wagtail: https://github.com/wagtail/wagtail/wiki/Release-schedule;
# Alpine: https://alpinelinux.org/releases/; Debian, its LTS: https://wiki.debian.org/LTS;
# Ubuntu, its standard support: https://ubuntu.com/about/release-cycle.
SUPPORTED_UNTIL = {
    "python": {
        "3.10": "2026-10-31",
        "3.11": "2027-10-31",
        "3.12": "2028-10-31",
        "3.13": "2029-10-31",
        "3.14": "2030-10-31",
        "3.15": "2031-10-31",
    },
    "django": {
        "2.2": "2022-04-11",
        "3.0": "2021-04-06",
        "3.1": "2021-12-07",
        "3.2": "2024-04-01",
        "4.0": "2023-04-01",
        "4.1": "2023-12-01",
        "4.2": "2026-04-07",
        "5.0": "2025-04-02",
        "5.1": "2025-12-03",
        "5.2": "2028-04-30",
        "6.0": "2027-04-30",
    },
    "wagtail": {
        "4.1": "2024-02-01",
        "5.0": "2023-11-01",
        "5.1": "2024-02-01",
        "5.2": "2025-05-06",
        "6.0": "2024-08-01",
        "6.1": "2024-11-01",
        "6.2": "2025-02-03",
        "6.3": "2026-05-01",
        "6.4": "2025-08-04",
        "7.0": "2026-11-02",
        "7.1": "2026-02-02",
        "7.2": "2026-05-04",
        "7.3": "2026-08-03",
        "8.0": "2027-02-02",
        "8.1": "2027-05-04",
    },
    "alpine": {
        "3.17": "2024-11-22",
        "3.18": "2025-05-09",
        "3.19": "2025-11-01",
        "3.20": "2026-04-01",
        "3.21": "2026-11-01",
        "3.22": "2027-05-01",
        "3.23": "2027-11-01",
    },
    "debian": {
        "10": "2024-06-30",
        "11": "2026-08-31",
        "12": "2028-06-30",
        "13": "2030-06-30",
    },
    "ubuntu": {
        "20.04": "2025-05-29",
        "22.04": "2027-06-01",
        "24.04": "2029-05-31",
        "26.04": "2031-05-29",
    },
}


def check(seen: Seen, settings: Settings) -> list[Finding]:
    return [
        *debug(seen["debug"]),
        *old(seen, _machine.system()),
        *logging(seen.get("logging") or {}),
        *written(seen["written"]),
        *headers(seen.get("django") or {}, settings),
    ]


def debug(modes: list[str]) -> list[Finding]:
    if not modes:
        return []
    return [
        Finding(
            "debug-on",
            ERROR,
            "a debug mode is on",
            "whoever causes an error sees source, settings and variables; responses are slower, "
            "and memory grows with each query that Django remembers",
            "turn it off for whatever others can reach: by a variable that only developers set",
            modes,
        )
    ]


def old(seen: Seen, system: dict[str, str], today: "datetime.date | None" = None) -> list[Finding]:
    today = today or datetime.date.today()
    versions = {**system, "python": ".".join(map(str, seen["python"])), **seen["frameworks"]}
    found = []
    for name, table in SUPPORTED_UNTIL.items():
        version = versions.get(name, "")
        short = ".".join(version.split(".")[:2])
        until = table.get(short)
        if until and datetime.date.fromisoformat(until) < today:
            shown = name.capitalize()
            found.append(
                Finding(
                    f"eol-{'system' if name in system else name}",
                    WARNING,
                    f"{shown} {version}: support ended on {until}",
                    "holes that are found now stay open",
                    f"go on to a {shown} that is supported",
                )
            )
    return found


def logging(state: dict[str, Any]) -> list[Finding]:
    """Configurations under which lines are lost."""
    lost = []
    if state.get("disabled"):
        names = ", ".join(state["disabled"][:8])
        lost.append(
            f"loggers are disabled: {names} (a configuration with disable_existing_loggers, "
            "which is True where it is not given)"
        )
    if state.get("disable_below"):
        lost.append(f"logging.disable({state['disable_below']}) drops all up to that level")
    for name in state.get("queues", ()):
        lost.append(f"{name}: a QueueHandler whose QueueListener does not run")
    for name in state.get("silent", ()):
        lost.append(f"{name}: it has a level and no handler, and does not propagate")
    found = []
    if lost:
        found.append(
            Finding(
                "log-lost",
                WARNING,
                "lines of the app's log are lost",
                "what would have told of a failure is not there",
                "have each logger reach a handler: disable_existing_loggers False, propagate True, "
                "a handler at the root that writes to standard error",
                lost,
            )
        )
    if state.get("files") and _machine.in_container():
        found.append(
            Finding(
                "log-file",
                WARNING,
                "the app logs to files in the container",
                "they go with the container, nobody collects them, and where the file system is "
                "memory they take it",
                "log to standard error (StreamHandler): the platform keeps it",
                [f"{name}: {path}" for name, path in state["files"]],
            )
        )
    return found


def staying(threads: list[str]) -> list[Finding]:
    """Threads that Python waits for, of an app that did not end when it was asked to."""
    if not threads:
        return []
    return [
        Finding(
            "stop-waits",
            WARNING,
            "the app's threads keep its processes from ending",
            "each stop, deploy and reload takes all of --graceful-timeout, and then kills",
            "make them daemon threads, or end them in a function of @cwsgi.on_shutdown",
            threads[:10],
        )
    ]


def written(files: dict[str, dict[str, str]]) -> list[Finding]:
    """Files that the app has written as it started, where that is memory."""
    memory = {
        path: how
        for path, how in files.items()
        if _machine.on_cloud_run() or (_machine.in_container() and _machine.is_memory(path))
    }
    if not memory:
        return []
    return [
        Finding(
            "disk-is-memory",
            WARNING,
            f"the app writes {len(memory)} file{'s' * (len(memory) > 1)} as it starts, and the "
            "disk is memory here",
            "each byte counts against the container's memory, once for each worker, until the "
            "container ends",
            "keep it in the process, or in object storage; or write when the image is built",
            [f"{path}, at {how['where']}" for path, how in list(memory.items())[:10]],
        )
    ]


def headers(django: dict[str, Any], settings: Settings) -> list[Finding]:
    """Django that believes a header which anybody can send."""
    believes = [
        name
        for name, key in (
            ("SECURE_PROXY_SSL_HEADER", "proxy_ssl_header"),
            ("USE_X_FORWARDED_HOST", "use_x_forwarded_host"),
        )
        if django.get(key)
    ]
    if not believes or settings.is_on("clear_untrusted_proxy_headers") or not believes:
        return []
    any_host = django.get("any_host") and "USE_X_FORWARDED_HOST" in believes
    return [
        Finding(
            "django-trusts-headers",
            WARNING if any_host else ADVICE,
            f"Django's {' and '.join(believes)} believe whoever connects",
            "a client that reaches the port without the proxy can forge https or the host, and "
            "with it links in mails",
            "--clear-untrusted-proxy-headers takes these fields from requests of others than the "
            "proxies in --forwarded-allow-ips",
            ["ALLOWED_HOSTS has '*', so that any host passes"] if any_host else [],
        )
    ]
