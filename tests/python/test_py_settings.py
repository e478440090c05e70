"""Python's tables of settings against the one table in C, and `cfg`, made from entries."""

import functools
import re
from pathlib import Path

import pytest
from cwsgi._logger_class import OWN as OWN_LOGGERS
from cwsgi._serve import FILE_ONLY, FLAGS
from cwsgi._settings import FOREIGN, HOOKS, KINDS, OWN, Config, takes

BASE = Path(__file__).resolve().parents[2] / "csrc" / "base"
TEXTS = r'((?:"[^"]*"\s*)+)'
# Words of the command line alone: a configuration file may use them for what it likes.
NOT_IN_FILES = {"hooks", "environ", "version", "help", "help_markdown", "help_man", "completion"}


def rows():
    text = (BASE / "options_table.h").read_text()
    pattern = rf'CW_OPTION\(\s*\w+,\s*"(\w+)",\s*{TEXTS},\s*(?:NULL|"\w+"),\s*([A-Z]+),'
    found = {
        name: (kind.lower(), " ".join(re.findall('"([^"]*)"', flags)).split())
        for name, flags, kind in re.findall(pattern, text)
    }
    assert len(found) == text.count("\nCW_OPTION(")
    return found


def test_every_option_is_known_by_its_kind():
    expected = {name: kind for name, (kind, _) in rows().items() if name not in NOT_IN_FILES}
    assert KINDS == expected


def test_every_other_setting_of_gunicorn_is_known():
    text = (BASE / "options_foreign.h").read_text()
    names = re.findall(r'CW_FOREIGN\(\s*"(\w+)"', text)
    assert len(names) == text.count("\nCW_FOREIGN(")
    assert set(names) <= set(FOREIGN)
    # Those that the command line does not know; what a file says of them is passed over.
    assert set(FOREIGN) - set(names) <= {"default_proc_name", "http2_cleartext"}


def test_every_hook_is_known():
    text = (BASE / "hook_names.h").read_text()
    hooks = re.findall(r'^  HOOK\(\w+, "(\w+)"', text, re.M)
    assert set(HOOKS) == set(hooks)
    assert len(HOOKS) == text.count("  HOOK(")


def test_loggers_that_are_the_servers_own():
    text = (BASE / "options.c").read_text()
    names = re.search(r"own\[\] = \{(.*?)\};", text, re.S)[1]
    assert OWN_LOGGERS == tuple(re.findall('"([^"]*)"', names))


def test_own_names_are_options():
    assert OWN < set(KINDS)


def test_flags_of_serve_are_flags():
    for name, (kind, flags) in rows().items():
        if name in NOT_IN_FILES:
            continue
        if name in FILE_ONLY:
            assert not flags
            continue
        flag = FLAGS.get(name) or "--" + name.replace("_", "-")
        assert flag in flags, name
        if name in FLAGS:
            assert "--" + name.replace("_", "-") not in flags, f"{name} needs no exception"
        assert kind != "bool" or name == "sendfile" or len(flags) in (1, 2)


# ---- cfg ----


def test_values_have_their_types():
    cfg = Config(
        [
            "workers=4",
            "timeout=30.000",
            "keepalive=1.500",
            "preload_app=1",
            "reload=0",
            "limit_request_line=8190",
            "proc_name=api",
            "bind[=127.0.0.1:1",
            "bind[=unix:/run/a",
            "raw_env=A=1",
            "raw_env=B=x=y",
            "forwarded_allow_ips=10.0.0.0/8, ::1",
        ]
    )
    assert cfg.workers == 4 and cfg.timeout == 30 and isinstance(cfg.timeout, int)
    assert cfg.keepalive == 1.5
    assert cfg.preload_app is True and cfg.reload is False
    assert cfg.limit_request_line == 8190
    assert cfg.proc_name == "api"
    assert cfg.bind == ["127.0.0.1:1", "unix:/run/a"]
    assert cfg.env == {"A": "1", "B": "x=y"}
    assert cfg.forwarded_allow_ips == ["10.0.0.0/8", "::1"]
    assert cfg.settings["workers"].get() == cfg.settings["workers"].value == 4


def test_every_setting_has_an_attribute():
    cfg = Config([])
    for name in (*KINDS, *FOREIGN, *HOOKS):
        getattr(cfg, name)
    assert cfg.raw_env == [] and cfg.accesslog is None and cfg.daemon is False
    assert cfg.secure_scheme_headers["X-FORWARDED-PROTO"] == "https"
    assert cfg.when_ready(object()) is None
    with pytest.raises(AttributeError, match="there is no setting 'wrokers'"):
        cfg.wrokers  # noqa: B018


def test_functions_and_dicts_come_from_the_file():
    def on_exit(server):
        return "called"

    cfg = Config(["logconfig_dict=1"], {"on_exit": on_exit, "logconfig_dict": {"version": 1}})
    assert cfg.on_exit is on_exit
    assert cfg.logconfig_dict == {"version": 1}


def test_settings_cannot_be_changed():
    cfg = Config(["workers=2"])
    with pytest.raises(AttributeError, match="workers cannot be set"):
        cfg.workers = 3
    with pytest.raises(AttributeError, match="workers cannot be set"):
        cfg.set("workers", 3)
    assert cfg.workers == 2


@pytest.mark.parametrize(
    "bind, address",
    [
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        (":80", ("0.0.0.0", 80)),
        ("[::1]:80", ("::1", 80)),
        ("unix:/run/a", "/run/a"),
        ("fd://3", 3),
    ],
)
def test_address(bind, address):
    assert Config([f"bind[={bind}"]).address == [address]


def test_port_is_the_default_address(monkeypatch):
    monkeypatch.setenv("PORT", "9")
    assert Config([]).address == [("0.0.0.0", 9)]


class Callable:
    def two(self, a, b):
        pass

    def __call__(self, a):
        pass


def wrapped(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    "function, counts",
    [
        (lambda: None, {0}),
        (lambda a, b: None, {2}),
        (lambda a, b=1: None, {1, 2}),
        (lambda *a: None, {0, 1, 2, 3, 4}),
        (lambda a, *b: None, {1, 2, 3, 4}),
        (lambda a, *, k=1: None, {1}),
        (lambda a, *, k: None, set()),
        (lambda a, **k: None, {1}),
        (Callable().two, {2}),
        (Callable(), {1}),
        (functools.partial(lambda a, b: None, 1), {1}),
        (wrapped(lambda a, b, c: None), {3}),
    ],
)
def test_takes(function, counts):
    assert {n for n in range(5) if takes(function, n)} == counts
