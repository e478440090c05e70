"""``cwsgi tune``: tries workers, threads and --preload with the app's own requests."""

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from . import ToolError, _machine, _measure, _requests, _run, _trials, _tuned, _tuned_page

FORMAT = 1  # of --json: raised when a field goes or changes its meaning
FITS = 0.8  # of the memory limit, that the server itself fits its workers into
OWN = {**_run.OWN, "--threads": 1, "--reload": 0, "--metrics": 1}


def main(program: str, args: "list[str]") -> int:
    parser = argparse.ArgumentParser(
        prog="cwsgi tune",
        usage="cwsgi tune APP --requests FILE|PATH... [tune's options] [options of cwsgi]",
        description="Starts the app with one setting of workers and threads after another, sends "
        "it these requests, and says which setting answers most. Run it where the app will run, "
        "against data that may be used for that: each request is sent many times.",
        epilog="Exit status: 0, 1 where nothing could be advised, 2 for wrong usage.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--requests",
        nargs="+",
        action="extend",
        metavar="FILE|PATH",
        help="paths (/a?b=c), or files: a path or METHOD PATH a line, a HAR, an access log",
    )
    parser.add_argument(
        "--all-methods",
        action="store_true",
        help="send POST and others of a HAR or access log, too: they may change data",
    )
    parser.add_argument(
        "--seconds", type=_seconds, default=3.0, metavar="S", help="for each measurement [3]"
    )
    parser.add_argument("--max-workers", type=_count, metavar="N", help="[processors granted]")
    parser.add_argument(
        "--max-threads", type=_count, default=64, metavar="N", help="for each worker [64]"
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--html", metavar="FILE", help="write a page with plots as well")
    options, words = parser.parse_known_args(args)
    words, asked = _apart(words, options.requests or [])
    if not words:
        parser.error("an app is needed, as cwsgi has it: module:name")
    if not asked:
        parser.error("--requests: a path or a file with requests is needed")
    source = _requests.of_words(asked, options.all_methods)
    if options.html:
        _writable(options.html)
    with _ends_on(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        report = tune(program, words, source, options)
    if options.html:
        with open(options.html, "w", encoding="utf-8") as file:
            file.write(_tuned_page.page(report))
    print(json.dumps(report, indent=2) if options.json else _tuned.text(report))
    return 0 if report["advice"] else 1


def tune(
    program: str, words: "list[str]", source: _requests.Source, options: argparse.Namespace
) -> "dict[str, Any]":
    """Return the report, as docs/tuning.md describes it."""
    began = time.monotonic()
    settings, failure = _run.read_settings(program, words)
    if failure is not None:
        raise ToolError("the app cannot be served:\n" + "\n".join(failure.splitlines()[-25:]))
    if settings.is_on("daemon") and settings.sources["daemon"] == "configuration file":
        raise ToolError("the configuration file has daemon = True, which nothing turns off")
    plain = _run.in_place_of_files(settings) + _run.without_own(words, OWN)
    seconds = options.seconds
    load = _measure.Load(
        [(one.method, one.encode("127.0.0.1")) for one in source.requests],
        [one.name() for one in source.requests],
        seconds,
    )
    bar = _tuned.Progress(options.json)
    bar.say(0, 1, "each request once")
    try:
        statuses, asgi = _measure.check(program, plain, load)
        cpus, memory = _machine.cpus(), _machine.memory_limit()
        limits = _trials.Limits(
            workers=options.max_workers or cpus,
            threads=1 if asgi else options.max_threads,
            memory=int(FITS * (memory or _machine.available())),
        )
        plan = _trials.Plan(limits)
        while setting := plan.next():
            bar.say(len(plan.done), plan.most(), str(setting))
            plan.done[setting] = trial = _measure.measure(program, plain, setting, load)
            bar.tell(trial)
    finally:
        bar.end()
    return {
        "format": FORMAT,
        "app": settings["wsgi_app"],
        "took_s": round(time.monotonic() - began, 1),
        **_tuned.findings(list(plan.done.values()), plan.stops, asgi),
        "facts": {
            "cpus": cpus,
            "memory_limit_bytes": memory,
            "interface": "asgi" if asgi else "wsgi",
            "requests": len(source.requests),
            "requests_left_out": source.left_out,
            "statuses": statuses,
            "seconds": seconds,
            "offered_share": _measure.SHARE,
        },
    }


def _apart(words: "list[str]", asked: "list[str]") -> "tuple[list[str], list[str]]":
    """An app may follow --requests: it is neither a path nor a file."""
    if words[:1] == ["--"]:
        words = words[1:]
    if words and not words[0].startswith("-"):
        return words, asked
    for at, word in enumerate(asked):
        if not word.startswith("/") and ":" in word and not os.path.exists(word):
            return [*words, *asked[at:]], asked[:at]
    return words, asked


def _writable(name: str) -> None:
    """Say before minutes of measurements that there is nowhere to write."""
    try:
        with open(name, "a", encoding="utf-8"):
            pass
    except OSError as error:
        raise ToolError(f"--html: {name}: {error.strerror}") from None


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 600:
        raise argparse.ArgumentTypeError("from 0.1 to 600 seconds")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1024:
        raise argparse.ArgumentTypeError("from 1 to 1024")
    return value


@contextlib.contextmanager
def _ends_on(*numbers: int) -> Iterator[None]:
    """Signals end the tool as ^C does: with all that it has started, uninterrupted."""

    def end(number: int, frame: object) -> None:
        for one in numbers:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.stderr.flush()
