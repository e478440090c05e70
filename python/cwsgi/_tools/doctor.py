"""``cwsgi doctor``: starts an app as the server would, and says what is wrong with it."""

import argparse
import json
import os
import re
import time
from typing import Any

from . import (
    ToolError,
    _check_app,
    _check_image,
    _check_memory,
    _check_settings,
    _check_start,
    _machine,
    _report,
    _run,
)
from ._findings import ERROR, EXITS, SEVERITIES, Finding, Redactor, exit_status

FORMAT = 1  # of --json: raised when a field goes or changes its meaning


def main(program: str, args: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="cwsgi doctor",
        usage="cwsgi doctor [doctor's options] APP [options of cwsgi]",
        description="Starts the app in fresh processes, as cwsgi would with these options, and "
        "reports what costs time or memory and what is not safe. Values of variables that may "
        "be secrets are never shown.",
        epilog=f"Exit status: {EXITS[ERROR]} for an error, {EXITS['warning']} for a warning, 0 "
        "else; 1 where doctor itself failed, 2 for wrong usage.",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument(
        "--serve",
        nargs="?",
        const=0,
        type=_port,
        metavar="PORT",
        help="show the report as a page on this machine's loopback",
    )
    parser.add_argument(
        "--image",
        metavar="DIR",
        help="look at an image whose root is DIR; without it at /, inside of a container",
    )
    parser.add_argument("--no-image", action="store_true", help="do not look at the image")
    parser.add_argument(
        "--no-memory", action="store_true", help="do not measure workers and --preload"
    )
    parser.add_argument(
        "--memory-limit", type=_bytes, metavar="SIZE", help="as if the container had so much"
    )
    options, words = parser.parse_known_args(args)
    if words[:1] == ["--"]:
        words = words[1:]
    if not words:
        parser.error("an app is needed, as cwsgi has it: module:name")
    redactor = Redactor(os.environ)
    # --env NAME=VALUE, in its spellings.
    redactor.add(dict(_pairs(words)))
    report = redactor.all(examine(program, words, options, redactor))
    if options.serve is not None:
        from . import _page

        return _page.serve(report, options.serve)
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        _report.write(report)
    return int(report["exit"])


def _pairs(words: list[str]) -> list[tuple[str, str]]:
    """Return what may set a variable among words or settings."""
    split = (re.match(r"(?:--env=|-e=?)?(\w+)=(.*)", word, re.S) for word in words)
    return [(match[1], match[2]) for match in split if match]


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return port


def _bytes(text: str) -> int:
    units = {"k": 10, "m": 20, "g": 30}
    number, unit = text.rstrip("iBb"), 0
    if number and number[-1].lower() in units:
        number, unit = number[:-1], units[number[-1].lower()]
    size = float(number) * (1 << unit)
    if not 1 <= size < 1 << 63:
        raise argparse.ArgumentTypeError("a size is as 512m, at least a byte")
    return int(size)


def examine(
    program: str, words: list[str], options: argparse.Namespace, redactor: Redactor
) -> dict[str, Any]:
    """Return the report, as docs/doctor.md describes it."""
    progress = _report.Progress(options.json)
    began = time.monotonic()
    facts: dict[str, Any] = {
        "cpus": _machine.cpus(),
        "memory_limit_bytes": options.memory_limit or _machine.memory_limit(),
        "container": _machine.in_container(),
    }
    findings: list[Finding] = []
    skipped: list[str] = []
    app = ""
    try:
        progress.say("settings")
        settings, failure = _run.read_settings(program, words)
        app = settings["wsgi_app"]
        # Those of a configuration file.
        for name in ("raw_env", "environ"):
            redactor.add(dict(_pairs(settings.items(name))))
        if failure is not None:
            raise _run.NotStarted(failure)
        findings += _check_settings.check(settings)
        findings += _of_starts(program, words, settings, options, facts, skipped, progress)
    except _run.NotStarted as error:
        findings = [_broken(str(error))]
    if options.image or (facts["container"] and not options.no_image):
        progress.say("image")
        root = os.path.abspath(options.image or "/")
        if not os.path.isdir(root):
            raise ToolError(f"--image: there is no folder {root}")
        installed, tree = _check_image.packages(root, skipped), _check_image.Tree(root)
        facts["image"] = _check_image.facts(installed, tree)
        findings += _check_image.check(installed, tree)
    progress.end()
    findings.sort(key=lambda one: SEVERITIES.index(one.severity))
    return {
        "format": FORMAT,
        "app": app,
        "took_s": round(time.monotonic() - began, 1),
        "exit": exit_status(findings),
        "findings": [one.as_dict() for one in findings],
        "facts": facts,
        "skipped": skipped,
    }


def _of_starts(
    program: str,
    words: list[str],
    settings: _run.Settings,
    options: argparse.Namespace,
    facts: dict[str, Any],
    skipped: list[str],
    progress: "_report.Progress",
) -> list[Finding]:
    if settings.is_on("daemon") and settings.sources["daemon"] == "configuration file":
        skipped.append("starts and memory: the configuration file has daemon = True")
        return []
    plain = _run.in_place_of_files(settings) + _run.without_own(words)
    module = settings["wsgi_app"].partition(":")[0]
    progress.say("a start that is observed")
    with _run.running(program, plain, "-w", "1", observed=module) as server:
        server.await_workers(1)
        seen, text = server.observed(), server.text()
    if "error" in seen:
        raise ToolError(f"the worker could not look at itself: {seen['error']}")
    imports = _check_start.imports_of(text, module)
    marks = seen["marks"]
    facts["start"] = {
        "python": ".".join(map(str, seen["python"])),
        "frameworks": seen["frameworks"],
        "import_s": round(marks["imported"] - marks.get("import", 0), 3),
        "modules": len(imports),
        "slowest": [
            [one.name, round(one.own, 4)] for one in sorted(imports, key=lambda one: -one.own)[:10]
        ],
        "startup": [[name, round(took, 3)] for name, _, took in marks.get("startup", ())],
        "preload_would_break": _check_memory.breaking(seen),
    }
    found = _check_start.check(seen, text, module)
    found += _check_app.check(seen, settings)
    if server.stays:
        found += _check_app.staying(seen["at_end"]["staying"])
    found += _check_memory.check_breaks(seen, settings)
    if options.no_memory:
        skipped.append("memory: --no-memory")
        return found
    progress.say("memory of 1, 2 and 4 workers, without --preload and with it")
    measured = _check_memory.both(program, plain, settings)
    facts["memory"] = measured
    breaks = _check_memory.breaking(seen)
    limit = facts["memory_limit_bytes"]
    return [*found, *_check_memory.check(measured, settings, limit, breaks)]


def _broken(text: str) -> Finding:
    lines = [line for line in text.splitlines() if not line.startswith("import time:")]
    return Finding(
        "not-started",
        ERROR,
        "the app cannot be served with these options",
        "nothing is served",
        "the last lines say why (docs/troubleshooting.md)",
        lines[-25:],
    )
