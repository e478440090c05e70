"""What an installation says about itself."""

import re
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_license_is_named_and_comes_along():
    installed = distribution("cwsgi")
    assert installed.metadata["License-Expression"] == "MIT"
    texts = {
        "/".join(file.parts[2:]): file.read_text()
        for file in installed.files
        if file.parts[1] == "licenses"
    }
    assert texts["LICENSE"] == (ROOT / "LICENSE").read_text()
    # Wheels for an index have those of what is linked in, too.
    assert set(texts) == set(installed.metadata.get_all("License-File"))


def test_changes_of_this_version_are_told():
    version = distribution("cwsgi").version
    headings = [
        line.split()[1]
        for line in (ROOT / "CHANGELOG.md").read_text().splitlines()
        if line.startswith("## ")
    ]
    assert headings[0] == version


def test_the_text_for_an_index_has_no_links_into_the_tree():
    metadata = distribution("cwsgi").metadata
    text = metadata.get_payload() or metadata["Description"]
    readme = (ROOT / "README.md").read_text()
    relative = re.compile(r"\]\((?!https://|#)")
    assert not relative.search(text)
    assert metadata["Description-Content-Type"] == "text/markdown"
    if relative.search(readme):
        assert "[docs/limits.md](docs/limits.md)." in readme and "\ndocs/limits.md." in text
        assert "[gunicorn](docs/from-gunicorn.md)," in readme
        assert "gunicorn (docs/from-gunicorn.md)," in text
    assert len(text.splitlines()) == len(readme.splitlines())
