"""What the README shows works."""

import re
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_first_app(serve, tmp_path):
    code = re.search(r"```python\n(.*?)```", README.read_text(), re.S)[1]
    assert len(code.splitlines()) == 5
    (tmp_path / "main.py").write_text(code)
    server = serve("main:app", chdir=tmp_path)
    assert server.get("/").body == b"Hello, World!\n"
