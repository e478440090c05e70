"""`make site`: what tools/website.py makes of the pages; nothing is fetched."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import website  # noqa: E402

TREE = {
    "pyproject.toml": '[project.urls]\nSource = "https://code.example/cwsgi"\n',
    "README.md": "# Home\nSee [all](docs), [a](docs/a.md#b) and [the license](LICENSE).\n",
    "LICENSE": "```` of all\n",
    "docs/README.md": (
        "# Pages\nTo read:\n- [a.md](a.md): this\n\nMore:\n- [../examples/](../examples): that\n"
    ),
    "docs/a.md": "# A: letters\n\n## B\n\n![](a.png)\n```\n[not](a.link)\n```\n",
    "docs/a.png": "\0",
    "examples/app.py": "app = None\n",
    "examples/db": "\0",
}


@pytest.fixture
def tree(tmp_path):
    def plant(**changes):
        for name, text in (TREE | changes).items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return plant


def test_pages_are_what_is_linked_to(tree):
    pages, pictures, navigation = website.gather(tree())
    assert {str(page) for page in pages} == {
        "README.md",
        "LICENSE.md",
        "docs/README.md",
        "docs/a.md",
        "examples/index.md",
        "examples/app.py.md",
    }
    assert pages[Path("README.md")].splitlines()[1] == (
        "See [all](docs/README.md), [a](docs/a.md#b) and [the license](LICENSE.md)."
    )
    assert "[A](a.md): this" in pages[Path("docs/README.md")]
    assert "[not](a.link)" in pages[Path("docs/a.md")]
    assert "- [app.py](app.py.md)" in pages[Path("examples/index.md")]
    assert "\n`````" in pages[Path("LICENSE.md")]
    assert {str(picture) for picture in pictures} == {"docs/a.png"}
    assert navigation == [
        {"Home": "README.md"},
        {"All pages": "docs/README.md"},
        {"To read": [{"A": "docs/a.md"}]},
        {"More": [{"examples": "examples/index.md"}]},
    ]


def test_links_to_the_repository_stay_in_the_site(tree):
    links = [
        "https://code.example/cwsgi/blob/main/docs/a.md#b",
        "https://code.example/cwsgi/-/tree/main/examples",
        "https://code.example/cwsgi/issues",
        "https://code.example/cwsgi2/blob/main/LICENSE",
    ]
    text = "".join(f"[x]({link})\n" for link in links)
    pages, _, _ = website.gather(tree(**{"README.md": "# Home\n" + text}))
    led = re.findall(r"\((.*)\)", pages[Path("README.md")])
    assert led == ["docs/a.md#b", "examples/index.md", *links[2:]]


def test_a_page_in_no_list(tree):
    with pytest.raises(website.SiteError, match=r"^docs/b\.md: in no list of docs/README\.md$"):
        website.gather(tree(**{"docs/b.md": "# B\n"}))


@pytest.mark.parametrize(
    "target",
    ["none.md", "../../out", "/etc/passwd", "https://code.example/cwsgi/blob/main/none.md"],
)
def test_a_link_to_nothing(tree, target):
    with pytest.raises(website.SiteError, match=rf"^docs/a\.md: no such file: {target}$"):
        website.gather(tree(**{"docs/a.md": f"# A\n[x]({target})\n"}))


@pytest.mark.parametrize(
    ("page", "wanted"),
    [
        ("text:\n- a\n  b\n- c\n", "text:\n\n- a\n    b\n- c\n"),
        ("- a\n  - b\n\n    c\n", "- a\n    - b\n\n        c\n"),
        ("1. a\n   ```\n    x\n   ```\n2. b\n", "1. a\n    ```\n     x\n    ```\n\n2. b\n"),
        ("answered with\n400. Other\n", "answered with\n400\\. Other\n"),
        ("text\n| a |\n|---|\n| b |\n", "text\n\n| a |\n|---|\n| b |\n"),
        ("```\n- x\n```\n    code\n", "```\n- x\n```\n\n    code\n"),
    ],
)
def test_markdown_of_others(page, wanted):
    assert website.in_mkdocs_dialect(page) == wanted


def test_every_page_is_in_the_navigation_once():
    pages, _, navigation = website.gather()
    entries = [entry for part in navigation[2:] for found in part.values() for entry in found]
    named = [page for entry in entries for page in entry.values()]
    assert len(named) == len(set(named)) and set(named) <= {str(page) for page in pages}
    docs = {f"docs/{path.name}" for path in ROOT.glob("docs/*.md")} - {"docs/README.md"}
    assert docs <= set(named)


class Loaded(HTMLParser):
    """What a browser fetches by itself for a page."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        names = dict(attributes)
        if tag in ("script", "img"):
            self.found.append(names.get("src"))
        if tag == "link" and names.get("rel") in ("stylesheet", "icon", "preconnect"):
            self.found.append(names["href"])


@pytest.fixture
def mkdocs():
    pytest.importorskip("mkdocs", reason="tools/site.txt is not installed")
    pytest.importorskip("material", reason="tools/site.txt is not installed")
    pytest.importorskip("markdown_it", reason="tools/site.txt is not installed")


@pytest.mark.usefixtures("mkdocs")
def test_site(tmp_path):
    site = tmp_path / "site"
    number = website.build(site, tmp_path / "pages")
    built = list(site.rglob("index.html"))
    assert len(built) == number > 30
    for page in built:
        loaded = [name for name in Loaded(page.read_text()).found if name]
        assert any(name.endswith("site.css") for name in loaded)
        for name in loaded:
            assert not re.match(r"\w+:|//", name), (page, name)
            assert (page.parent / name).exists(), (page, name)
    index = (site / "search" / "search_index.json").read_text()
    # Prose is searched, and no source.
    assert '"docs/settings/#bind"' in index and '"examples/flask/' not in index
    diagrams = (site / "docs" / "architecture" / "index.html").read_text()
    assert diagrams.count('<pre class="mermaid">') == 2
    listed = (site / "docs" / "index.html").read_text()
    assert 'href="../examples/deploy/"' in listed and "md-search" in listed


@pytest.mark.usefixtures("mkdocs")
def test_a_broken_anchor_fails(tree, tmp_path):
    root = tree(**{"README.md": "# Home\nSee [a](docs/a.md#none).\n"})
    with pytest.raises(website.SiteError, match="strict mode"):
        website.build(root / "site", root / "pages", root=root)


@pytest.mark.usefixtures("mkdocs")
def test_other_markdown_than_commonmark_fails(tree):
    # Two lists by CommonMark, one by MkDocs.
    root = tree(**{"docs/a.md": "# A\n\n## B\n\n- one\n+ two\n"})
    with pytest.raises(website.SiteError, match=r"^docs/a\.md: MkDocs reads it otherwise"):
        website.build(root / "site", root / "pages", root=root)
