"""The pages: all are indexed, and what they and the source refer to is there."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import website  # noqa: E402

# Absolute links to files of the tree.
OWN = website.own_links((ROOT / "pyproject.toml").read_text())
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")])
SOURCES = sorted(
    path
    for pattern in ("csrc/*/*.[ch]", "python/cwsgi/**/*.py*", "tools/*.*", "bench/*.*", "Makefile")
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
        own = OWN and OWN.match(target)
        if re.match(r"https?://|mailto:", target) and not own:
            continue
        path, _, anchor = target.partition("#")
        base, path = (ROOT, path[own.end() :]) if own else (page.parent, path)
        there = (base / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_readme_holds_on_an_index_page():
    if not OWN:
        pytest.skip("pyproject.toml names no Source in [project.urls], so links are relative")
    links = LINK.findall((ROOT / "README.md").read_text())
    assert [link for link in links if not re.match(r"https://|#", link)] == []


def test_files_that_are_named_exist():
    missing = {
        (str(file.relative_to(ROOT)), name)
        for file in [*PAGES, *SOURCES]
        for name in NAMED.findall(file.read_text())
        # NAME.c stands for any.
        if not (ROOT / name).exists() and not Path(name).stem.isupper()
    }
    assert missing == set()


def test_the_tutorial_has_the_slim_dockerfile():
    page = (ROOT / "docs/tutorial.md").read_text()
    file = (ROOT / "examples/docker/slim/Dockerfile").read_text()
    (shown,) = re.findall(r"```dockerfile\n(.*?)```", page, re.S)
    assert shown.strip() == re.sub(r"^#.*\n", "", file, flags=re.M).strip()


def test_every_metric_has_its_meaning():
    source = (ROOT / "csrc/base/metrics_text.c").read_text()
    names = re.findall(r'(?:describe|put_\w+)\(\s*&?t, "(\w+)"', source)
    page = (ROOT / "docs/metrics.md").read_text()
    rows = re.findall(r"^\| `cwsgi_(\w+)(?:\{\w+\})?` \|", page, re.M)
    assert len(names) > 15
    assert sorted(rows) == sorted(names)


# Lines that somebody has to look at, their text in pieces.
TEXT = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'
LOGGED = re.compile(r'cw_log\(\s*(?:CW_LOG_(?:WARNING|ERROR|CRITICAL),|rc ==)[^;"]*' + TEXT)
COMPLAINT = re.compile(r"cw_complain\(\s*" + TEXT)


def texts_of(pattern):
    return [
        "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', match[1]))
        for path in ROOT.glob("csrc/*/*.c")
        for match in pattern.finditer(path.read_text())
    ]


def test_every_line_has_its_cause_and_remedy():
    page = re.sub(r"\s+", " ", (ROOT / "docs/troubleshooting.md").read_text())
    logged, complaints = texts_of(LOGGED), texts_of(COMPLAINT)
    assert len(logged) > 60 and len(complaints) > 60

    def is_there(text):
        fixed = [part.strip(" :;,.()'")[:20] for part in re.split(r"%[-.*0-9]*l*[a-z]", text)]
        return any(len(part) > 7 and part in page for part in fixed)

    # A complaint about an option says what that may be. A mere "%s" has its words from elsewhere.
    plain = [text for text in complaints if not re.match("--|'?%", text)]
    assert [text for text in [*logged, *plain] if text != "%s" and not is_there(text)] == []
