"""Removes single statements of the C source and runs the tests: which ones does nobody miss?

    tools/mutate.py [--number N] [--seed N] [--seconds N] [PATH ...]

PATH are folders or files of csrc; by default http, wsgi and supervisor. Works in a copy of the
tree under build/mutants, and appends each survivor to build/mutants/survivors.txt. A survivor
is a place to look: a test is missing there, or the statement is not needed.
"""

import argparse
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "mutants"
TREE = FOLDER / "tree"
DEFAULT = ["csrc/http", "csrc/wsgi", "csrc/supervisor"]
# One statement on a line of its own, but no declaration and nothing that only frees or says.
STATEMENT = re.compile(r"^ {2,}(?:if \(.*\) )?[a-z][\w>.\[\]\-]*(?:\(.*\)| [|&+\-]?= .*|\+\+|--);$")
DULL = re.compile(r"\b(cw_log|cw_log_text|cw_complain|assert|Py_X?DECREF|Py_CLEAR|free|va_end)\b")
STAGES = (
    ["tools/ctests.py", "unit"],
    ["-m", "pytest", "-x", "-q", "-n", "2", "-m", "not slow", "tests/requests", "tests/wsgi"],
    ["-m", "pytest", "-x", "-q", "-n", "2", "-m", "not slow", "tests/http", "tests/hostile"],
    ["-m", "pytest", "-x", "-q", "-n", "2", "-m", "not slow", "tests/ops", "tests/python"],
)


def statements(paths):
    """(path, line number, text) of each statement that can be removed by itself."""
    for path in paths:
        full = ROOT / path
        for source in sorted(full.glob("*.c")) if full.is_dir() else [full]:
            lines = source.read_text().splitlines()
            for number, line in enumerate(lines):
                before = lines[number - 1].strip() if number else ""
                # The only statement of an `if` or a loop cannot go without its condition.
                alone = before.endswith((";", "{", "}", "*/"))
                if alone and STATEMENT.match(line) and not DULL.search(line):
                    yield source.relative_to(ROOT), number, line


def run(command, limit):
    """Whether the command succeeds within its time."""
    try:
        done = subprocess.run(command, cwd=TREE, capture_output=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def build(limit=300):
    return run(["make", ".venv/.tests"], limit)


def survives(limit):
    """What noticed the mutant: a stage's name, or None."""
    if not build():
        return "compiler"
    for stage in STAGES:
        if not run([".venv/bin/python", *stage], limit):
            return " ".join(stage[-2:])
    return None


def copy_tree():
    shutil.rmtree(TREE, ignore_errors=True)
    TREE.mkdir(parents=True)
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        target = TREE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=20, help="mutants to try")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--seconds", type=int, default=600, help="most that one stage may take")
    parser.add_argument("paths", nargs="*", default=DEFAULT)
    options = parser.parse_args()
    copy_tree()
    if not build(600) or survives(options.seconds) is not None:
        sys.exit("the tests fail without a mutation")
    chosen = random.Random(options.seed)
    found = list(statements(options.paths))
    tried = chosen.sample(found, min(options.number, len(found)))
    left = []
    print(f"{len(found)} statements, {len(tried)} tried, seed {options.seed}", flush=True)
    for path, number, line in tried:
        target = TREE / path
        original = target.read_text()
        lines = original.splitlines(keepends=True)
        lines[number] = "\n"
        target.write_text("".join(lines))
        noticed = survives(options.seconds)
        target.write_text(original)
        place = f"{path}:{number + 1}: {line.strip()}"
        print(f"{'SURVIVED' if noticed is None else 'noticed by ' + noticed}: {place}", flush=True)
        if noticed is None:
            left.append(place)
            with open(FOLDER / "survivors.txt", "a") as file:
                file.write(place + "\n")
    print(f"{len(tried) - len(left)} of {len(tried)} noticed")


if __name__ == "__main__":
    main()
