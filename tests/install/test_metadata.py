"""What an installation says about itself."""

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
