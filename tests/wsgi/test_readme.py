"""What the README and the tutorial show works."""

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"
TUTORIAL = README.parent / "docs" / "tutorial.md"


def test_the_first_app(serve, tmp_path):
    code = re.search(r"```python\n(.*?)```", README.read_text(), re.S)[1]
    assert len(code.splitlines()) == 5
    (tmp_path / "main.py").write_text(code)
    server = serve("main:app", chdir=tmp_path)
    assert server.get("/").body == b"Hello, World!\n"


@pytest.mark.parametrize(
    ("framework", "body"), [("flask", b"Hello, World!\n"), ("fastapi", b'{"hello":"world"}')]
)
def test_the_tutorials_apps(serve, tmp_path, framework, body):
    pytest.importorskip(framework)
    apps = re.findall(r"```python\n(.*?)```", TUTORIAL.read_text(), re.S)
    (code,) = [app for app in apps if app.startswith(f"from {framework} ")]
    (tmp_path / "main.py").write_text(code)
    assert serve("main:app", chdir=tmp_path).get("/").body == body
