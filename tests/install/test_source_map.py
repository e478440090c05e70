"""docs/architecture.md has a line for each file: what `make lint` says where it has not."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import check_layers  # noqa: E402

PAGE = (ROOT / check_layers.MAP).read_text()
FILES = check_layers.mapped_files()


def complaints(page):
    said = check_layers.unmapped(FILES, page)
    return [text.removeprefix(f"{check_layers.MAP}: ") for text in said]


def test_every_file_has_one_line():
    assert len(FILES) > 200 and "csrc/http/conn.c" in FILES and "tools/need.sh" in FILES
    assert complaints(PAGE) == []


def test_a_line_is_missing():
    without = re.sub(r"^- `parse\.c`.*\n", "", PAGE, flags=re.M)
    assert complaints(without) == ["csrc/http/parse.c has no line"]


def test_a_line_says_nothing():
    silent = re.sub(r"^- `parse\.c`.*", "- `parse.c`", PAGE, flags=re.M)
    assert complaints(silent) == ["csrc/http/parse.c has no line"]


def test_a_line_is_there_twice():
    twice = re.sub(r"^(- `parse\.c`.*\n)", r"\1\1", PAGE, flags=re.M)
    assert complaints(twice) == ["csrc/http/parse.c has 2 lines"]


def test_a_file_is_gone():
    more = PAGE.replace("- `parse.c`", "- `gone.c` was here\n- `parse.c`")
    assert complaints(more) == ["csrc/http/gone.c is not there"]


def test_unit_tests_are_named_after_modules():
    assert list(check_layers.strays(["test_conn.c", "test_faults.c"])) == []
    assert list(check_layers.strays(["test_daemons.c", "test_conn.c"])) == [
        "tests/unit/test_daemons.c: there is no module daemons"
    ]
