"""Commands that the pages show: a shell reads them, and cwsgi knows every word of its own."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from server import clean_env, program

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    + [*ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")]
)
# How lines of those blocks begin that are for a shell; others are configuration, or output.
OURS = {"cwsgi", "make", "pip", "python3", "kill", "mv", "cat", "curl", "docker", "gcloud"}
OURS |= {"dpkg-query", "du", "find", "venv/bin/pip", "venv/bin/cwsgi", "/srv/venv/bin/cwsgi"}
PEERS = {"daphne", "granian", "hypercorn", "uvicorn", "uwsgi", "waitress-serve"}
PEERS |= {"mod_wsgi-express"}


def lines_of(block):
    """Commands of a block: joined where they go on, without what a prompt or a comment is."""
    for line in block.replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*", "", line.removeprefix("$ ")).strip()
        if line:
            yield line


def first_word(line):
    return re.sub(r"^(?:[A-Z_]+=\S+ )+(?:sh \S+)?", "", line).partition(" ")[0]


def shell_blocks():
    """(page, commands) of every block that a shell is to read."""
    for page in PAGES:
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.M | re.S):
            if language:
                continue
            lines = list(lines_of(block))
            if block.startswith("$ "):
                lines = lines[:1]  # the rest is what it says
            if lines and all(first_word(line) in {*OURS, *PEERS, ""} for line in lines):
                yield page, lines


def own_commands():
    """(page, words) of every command line of cwsgi's, in blocks and in the text."""
    for page, lines in shell_blocks():
        for line in lines:
            words = shlex.split(line)
            if Path(words[0]).name == "cwsgi":
                yield page, words
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
        for span in re.findall(r"`((?:ExecStart=)?(?:\S*/)?cwsgi\s[^`]+)`", text):
            yield page, shlex.split(span)


BLOCKS = list(shell_blocks())
COMMANDS = sorted({(page.name, *words[1:]) for page, words in own_commands()})


def run(*words, **options):
    options = {"capture_output": True, "text": True, "timeout": 60, **options}
    return subprocess.run(words, env=clean_env(), **options)


def help_of(*tool):
    return run(*program(), *tool, "--help").stdout


TOOLS = re.findall(r"^  (\w+) ", help_of().partition("Tools")[2].partition("\n\n")[0], re.M)


def test_there_are_some():
    """What is looked for is there: no list of this file has outlived it."""
    begun = {first_word(line) for _, lines in BLOCKS for line in lines}
    assert {*OURS, *PEERS} - begun == set()
    assert len(COMMANDS) > 25
    assert {"doctor", "top", "dump", "compile", "tune", "record"} <= set(TOOLS)


@pytest.mark.parametrize("page, lines", BLOCKS, ids=lambda one: getattr(one, "name", None))
def test_a_shell_reads_it(page, lines):
    answer = run("sh", "-n", input="\n".join(lines))
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_cwsgi_knows_its_words(command, tmp_path):
    words = list(command[1:])
    if words[0] in TOOLS:
        known = help_of(words[0]) + help_of()
        asked = [word for word in words if word.startswith("-") and word != "--"]
        assert [word for word in asked if not re.search(rf"(^|[\s,]){word}\b", known)] == []
        return
    for at, word in enumerate(words):
        if word.startswith("/srv/") or words[at - 1] == "--chdir":
            words[at] = str(tmp_path)
    if not {"--help", "--version", "--help-markdown"} & set(words):
        words = ["--print-config", *words]
    answer = run(*program(), *words, cwd=tmp_path)
    # No app is here, and no such user; that is looked at after the options.
    missing = r"cwsgi: (cannot import '.*' in .*|no app was named; .*|--user: there is no .*)\n"
    assert re.fullmatch(missing, answer.stderr) or (answer.returncode, answer.stderr) == (0, "")


def test_make_knows_its_targets():
    rules = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    shown = [line for _, lines in BLOCKS for line in lines if first_word(line) == "make"]
    for page in PAGES:
        shown += re.findall(r"`(make [a-z][^`]*)`", page.read_text())
    assert len(shown) > 5
    for line in shown:
        asked = [word for word in shlex.split(line)[1:] if "=" not in word]
        assert set(asked) <= rules, line


def test_the_tutorial_deploys_as_the_example_does():
    """Cloud Run is told the same numbers in both."""
    (line,) = {
        line for _, lines in BLOCKS for line in lines if line.startswith("gcloud run deploy")
    }
    example = (ROOT / "examples/deploy/cloud-run/deploy.sh").read_text()
    for option in re.findall(r"--(?:concurrency|cpu|memory|cpu-boost)(?: \w+)?\b", line):
        assert re.search(rf" {option}\b", example), option


def test_what_is_large_in_an_image(tmp_path):
    """Of containers.md: run, on folders that are here."""
    if not shutil.which("dpkg-query"):
        pytest.skip("no dpkg here")
    ((page, lines),) = [one for one in BLOCKS if one[1][0].startswith("dpkg-query")]
    packages = tmp_path / "venv/lib/python3.11/site-packages"
    (packages / "large").mkdir(parents=True)
    (packages / "large" / "data").write_bytes(bytes(6 << 20))
    (tmp_path / "app").mkdir()
    text = "\n".join(lines)
    assert page.name == "containers.md" and "/venv" in text and "/app" in text
    text = re.sub(r"(?<=\s)(/venv|/app)", rf"{tmp_path}\1", text)
    answer = run("sh", "-e", input=text)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert re.search(r"^\d+\t[a-z]", answer.stdout)
    assert len(re.findall(r"site-packages/large$", answer.stdout, re.M)) == 1
    assert re.search(r"site-packages/large/data$", answer.stdout, re.M)
