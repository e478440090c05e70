"""Builds the pages into a static site, build/site.

    tools/website.py [--folder build/site]

The pages are README.md, those of docs/ and whatever they link to: another page, a file of the tree
(shown as it is), or a folder (its README.md, or a list of what is in it). They keep their places,
so that links mean what they mean in the repository. The navigation is made of docs/README.md's
lists. MkDocs reads Markdown in its own dialect; what it makes of each page is compared with what
CommonMark says, so that no list is shown as a paragraph.
"""

import argparse
import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
import tarfile
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATION = ROOT / "tools" / "site.yml"
STYLE = ROOT / "tools" / "site.css"
HOME, INDEX = Path("README.md"), Path("docs/README.md")

# The release that the theme would fetch from elsewhere in the reader's browser.
MERMAID = "mermaid@11.17.2"
MERMAID_SHA512 = (
    "57a2b70bc101744b0f1595d228c25eea9a50384371b87011afd1af1d7e21878e"
    "e501b84c443f6a7f8a042bb2e869143150b31af34feab798073bbdda0a578106"
)
MERMAID_FILES = ("dist/mermaid.min.js", "LICENSE")

LINK = re.compile(r"\[([^\[\]]*)\]\(([^)\s]+)\)")
ITEM = re.compile(r"(?:[-*+]|\d+[.)]) +")
FENCE = re.compile(r"`{3,}|~{3,}")
PICTURES = {".png", ".svg", ".jpg", ".webp"}
LANGUAGES = {
    ".c": "c",
    ".h": "c",
    ".json": "json",
    ".py": "python",
    ".sh": "bash",
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
}


class SiteError(Exception):
    """What the pages have wrong, a line for each."""


def prose(text):
    """The lines of a page, each with whether it is outside of fenced code."""
    fence = None
    for line in text.splitlines():
        found = FENCE.match(line.lstrip())
        if fence:
            yield line, False
            if found and found[0].startswith(fence) and line.strip() == found[0]:
                fence = None
        else:
            fence = found and found[0]
            yield line, not found


def in_mkdocs_dialect(text):
    """The same page, as MkDocs wants it.

    A list or a table starts after an empty line, what is in an item is indented by four, and a
    number at the start of a line in a paragraph is escaped.
    """
    lines, before = [], "blank"
    items = []  # that are open: where the marker is and where the text; numbered or not
    for line, outside in prose(text):
        bare = line.lstrip()
        indent = len(line) - len(bare)
        if not bare:
            lines.append("")
            before = "blank" if outside else before
            continue
        marker = ITEM.match(bare)
        numbered = bare[0].isdigit()
        margin = items[-1][1] if items else 0
        if not outside:
            kind = "fence"
        elif before != "text" and indent >= margin + 4:
            kind = "code"
        elif bare[0] in "#|":
            kind = "heading" if bare[0] == "#" else "table"
        elif marker and (
            # Of numbers only the first, or the next of its list, interrupts a paragraph.
            before != "text"
            or not numbered
            or re.match(r"1\D", bare)
            or any(counts and at == indent for at, _, counts in items)
        ):
            kind = "item"
        else:
            kind = "text"
            if marker:
                bare = re.sub(r"^(\d+)", r"\1\\", bare)
        inside = bool(items)
        if not before == kind in ("text", "fence"):
            while items and indent < items[-1][1]:
                items.pop()
        starts = kind in ("table", "code") or kind == "item" and not inside
        if before not in ("blank", kind) and (starts or before in ("fence", "code")):
            lines.append("")
        deeper = indent - (items[-1][1] if items else 0) if kind in ("fence", "code") else 0
        lines.append(" " * (4 * len(items) + max(0, deeper)) + bare)
        if kind == "item":
            items.append((indent, indent + marker.end(), numbered))
        before = "text" if kind == "item" else kind
    return "\n".join(lines) + "\n"


def title(text):
    """A page's title, as short as a link has it."""
    found = re.search(r"^# ([^:\n]*)", text, re.M)
    if not found:
        raise SiteError(f"a page has no title: {text[:60]!r}")
    return found[1]


def shown(path, text):
    """A page that shows a file of the tree."""
    fence = "`" * (max(map(len, re.findall(r"`+", text)), default=0) + 3)
    language = "docker" if path.name == "Dockerfile" else LANGUAGES.get(path.suffix, "text")
    return f"# {path}\n\n{fence}{language}\n{text.rstrip()}\n{fence}\n"


def listed(path, folder):
    """A page that lists the folders and the texts in a folder."""
    names = sorted(
        entry.name + "/" * entry.is_dir()
        for entry in folder.iterdir()
        if not entry.name.startswith((".", "__"))
        and (entry.is_dir() or b"\0" not in entry.read_bytes())
    )
    return f"# {path}\n\n" + "".join(f"- [{name}]({name})\n" for name in names)


def own_links(pyproject):
    """How absolute links to files of the tree start; None where pyproject.toml names no Source."""
    source = re.search(r'^Source = "([^"]+?)/?"$', pyproject, re.M)
    return source and re.compile(re.escape(source[1]) + r"(?:/-)?/(?:blob|tree)/main/")


class Gathering:
    """The pages of a tree by where they are put, and what is wrong with them."""

    def __init__(self, root):
        self.root = root
        self.own = own_links((root / "pyproject.toml").read_text())
        self.pages = {}
        self.pictures = set()
        self.wrong = []

    def take(self, path):
        """Where the page for this file or folder is; takes it, and what it links to."""
        full = self.root / path
        if full.is_dir() and (full / "README.md").exists():
            path, full = path / "README.md", full / "README.md"
        if full.suffix in PICTURES:
            self.pictures.add(path)
            return path
        if full.is_dir():
            page, text = path / "index.md", listed(path, full)
        elif full.suffix == ".md":
            page, text = path, full.read_text()
        else:
            page, text = path.with_name(path.name + ".md"), shown(path, full.read_text())
        if page not in self.pages:
            self.pages[page] = ""
            linked = "\n".join(
                self.links(page, line) if outside else line for line, outside in prose(text)
            )
            # The search is for prose.
            head = "" if page == path else "---\nsearch: {exclude: true}\n---\n"
            self.pages[page] = head + linked + "\n"
        return page

    def links(self, page, line):
        """The line with its links to files led to their pages."""

        def led(link):
            words, (target, sharp, anchor) = link[1], link[2].partition("#")
            own = self.own and self.own.match(target)
            if not target or re.match(r"[a-z]+:", target) and not own:
                return link[0]
            base, inside = ("", target[own.end() :]) if own else (page.parent, target)
            there = (self.root / base / inside).resolve()
            if not there.exists() or not there.is_relative_to(self.root):
                self.wrong.append(f"{page}: no such file: {target}")
                return link[0]
            found = self.take(there.relative_to(self.root))
            # A page that is named by its path gets its title.
            page_itself = found.suffix == ".md" and (self.root / found).exists()
            if page_itself and words.rstrip("/") == target:
                words = title((self.root / found).read_text())
            return f"[{words}]({os.path.relpath(found, page.parent)}{sharp}{anchor})"

        return LINK.sub(led, line)


def navigation(pages):
    """The lists of docs/README.md: [{section: [{title: page}, ...]}, ...]."""
    sections, section = [{"Home": str(HOME)}, {"All pages": str(INDEX)}], "Pages"
    for line, outside in prose(pages[INDEX]):
        item = re.match(r"\s*[-*] \[[^\]]*\]\(([^)\s#]+)", line)
        if outside and item:
            if section:
                entries = []
                sections.append({section: entries})
                section = None
            page = os.path.normpath(INDEX.parent / item[1])
            entries.append({title(pages[Path(page)]): page})
        elif outside and (line.startswith("##") or line.endswith(":")):
            section = line.strip("#: ")
    return sections


def gather(root=ROOT):
    """All pages, pictures, and the navigation."""
    gathering = Gathering(root)
    folder = sorted((root / INDEX.parent).glob("*.md"))
    for path in [HOME, INDEX, *(page.relative_to(root) for page in folder)]:
        gathering.take(path)
    if gathering.wrong:
        raise SiteError("\n".join(sorted(gathering.wrong)))
    found = navigation(gathering.pages)
    inside = {
        page
        for section in found[2:]
        for entries in section.values()
        for entry in entries
        for page in entry.values()
    }
    missing = {str(page.relative_to(root)) for page in folder} - inside - {str(INDEX)}
    if missing:
        raise SiteError("\n".join(f"{page}: in no list of {INDEX}" for page in sorted(missing)))
    return gathering.pages, gathering.pictures, found


class Outline(HTMLParser):
    """The words and the structure of a page."""

    TAGS = {*"h1 h2 h3 h4 h5 h6 ul ol li table tr th td pre code strong em blockquote".split()}

    def __init__(self, html):
        super().__init__()
        self.parts = []
        self.text = ""  # since the last tag that counts: others, as highlighting has, cut words
        self.skipped = False
        self.feed(html)
        self.part()

    def part(self, *tag):
        self.parts += [*self.text.split(), *tag]
        self.text = ""

    def handle_starttag(self, tag, attributes):
        if tag == "a" and ("class", "headerlink") in attributes:
            self.skipped = True
        elif tag in self.TAGS:
            self.part(f"<{tag}>")

    def handle_endtag(self, tag):
        if tag == "a":
            self.skipped = False
        elif tag in self.TAGS:
            self.part(f"</{tag}>")

    def handle_data(self, text):
        if not self.skipped:
            self.text += text


def difference(page, text, html):
    """How what MkDocs made of a page differs from CommonMark; None where it does not."""
    import markdown_it

    reader = markdown_it.MarkdownIt("commonmark").enable("table")
    wanted = Outline(reader.render(re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S))).parts
    body = re.search(r"<article[^>]*>(.*)</article>", html, re.S)[1]
    made = Outline(body).parts
    if wanted == made:
        return None
    same = len(os.path.commonprefix([wanted, made]))
    show = [" ".join(parts[max(0, same - 5) : same + 5]) for parts in (wanted, made)]
    return f"{page}: MkDocs reads it otherwise than CommonMark:\n  {show[1]}\n  {show[0]}"


def mermaid():
    """The archive with the diagrams' script, checked."""
    folder = ROOT / "build" / "mermaid"
    archive = folder / (MERMAID.replace("@", "-") + ".tgz")
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--loglevel=error", MERMAID]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    if hashlib.sha512(archive.read_bytes()).hexdigest() != MERMAID_SHA512:
        archive.unlink()
        raise SiteError(f"{archive}: not the file that was pinned, removed; try again")
    return archive


def draw(site, archive):
    """Gives the pages that have diagrams the script that draws them."""
    folder = site / "assets" / "mermaid"
    folder.mkdir()
    with tarfile.open(archive) as packed:
        for name in MERMAID_FILES:
            (folder / Path(name).name).write_bytes(packed.extractfile(f"package/{name}").read())
    for page in site.rglob("*.html"):
        html = page.read_text()
        if '<pre class="mermaid">' in html:
            script = os.path.relpath(folder / "mermaid.min.js", page.parent)
            # Before the theme's own script, which looks for it.
            ours = f'<script src="{script}"></script>'
            page.write_text(html.replace("<script src=", f"{ours}<script src=", 1))


def build(folder, work, archive=None, root=ROOT):
    """The site in `folder`, its pages in `work` before; without an archive diagrams stay text."""
    import mkdocs.commands.build
    import mkdocs.config
    import mkdocs.exceptions

    pages, pictures, found = gather(root)
    shutil.rmtree(work, ignore_errors=True)
    for page, text in pages.items():
        (work / page).parent.mkdir(parents=True, exist_ok=True)
        (work / page).write_text(in_mkdocs_dialect(text))
    for picture in pictures:
        (work / picture).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / picture, work / picture)
    (work / "assets").mkdir(exist_ok=True)
    shutil.copyfile(STYLE, work / "assets" / STYLE.name)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        with CONFIGURATION.open("rb") as file:
            configuration = mkdocs.config.load_config(
                file, docs_dir=str(work), site_dir=str(folder), nav=found
            )
        mkdocs.commands.build.build(configuration)
    except (mkdocs.exceptions.MkDocsException, mkdocs.exceptions.Abort) as error:
        raise SiteError(f"the site was not built: {error}") from error
    wrong = []
    for page, text in pages.items():
        place = page.parent if page.name in ("README.md", "index.md") else page.with_suffix("")
        wrong.append(difference(page, text, (folder / place / "index.html").read_text()))
    if any(wrong):
        raise SiteError("\n".join(filter(None, wrong)))
    if archive:
        draw(folder, archive)
    return len(pages)


def main():
    parser = argparse.ArgumentParser(description="Builds the pages into a static site.")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "site")
    folder = parser.parse_args().folder.resolve()
    try:
        number = build(folder, ROOT / "build" / "pages", mermaid())
    except (SiteError, OSError, UnicodeError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))
    print(f"{number} pages: {folder / 'index.html'}")


if __name__ == "__main__":
    main()
