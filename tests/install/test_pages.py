"""The pages: all are indexed, and what they and the source refer to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")])
SOURCES = sorted(
    path
    for pattern in ("csrc/*/*.[ch]", "python/cwsgi/*.py*", "tools/*.*", "bench/*.*", "Makefile")
    for path in ROOT.glob(pattern)
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
# A file of the tree, as comments name it.
NAMED = re.compile(
    r"\b(?:csrc|python|docs|tests|tools|bench|examples)/[\w./-]*\w\.(?:[ch]|py|md)\b"
)


def anchors(page):
    """Of a page's headings, as GitHub and others make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def test_every_page_is_indexed_with_a_line():
    index = (ROOT / "docs" / "README.md").read_text()
    lines = re.findall(r"^- \[([\w.-]+\.md)\]\(\1\): \S.*$", index, re.M)
    assert sorted(lines) == sorted(
        path.name for path in ROOT.glob("docs/*.md") if path.name != "README.md"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text()):
        if re.match(r"https?://|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_files_that_are_named_exist():
    missing = {
        (str(file.relative_to(ROOT)), name)
        for file in [*PAGES, *SOURCES]
        for name in NAMED.findall(file.read_text())
        # NAME.c stands for any.
        if not (ROOT / name).exists() and not Path(name).stem.isupper()
    }
    assert missing == set()
