"""The app's logging by --log-config, --log-config-json or logconfig_dict.

Imported by a worker, before the app, only if one of them is set.
"""

import logging.config
import os

from . import _gunicorn_loggers
from ._error_log import Log
from ._gunicorn_loggers import DATE, FORMAT, install
from ._settings import Config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def configure(entries: "list[str]") -> bool:
    """Configure ``logging`` as gunicorn does, and say once that this is not cwsgi's own log.

    First come gunicorn's loggers, as they are without such a setting. Of the settings the
    first counts: logconfig_dict, logconfig_json, logconfig. What a dict leaves out is as
    gunicorn has it: see base().

    Args:
        entries: every setting, as Config takes them; ``config=`` names the file that has
            logconfig_dict.

    Returns:
        Whether anything was set.

    Raises:
        ValueError: naming the setting: a file that is not there, JSON that is none, or what
            ``logging`` says is wrong.
    """
    cfg = Config(entries)
    if "logconfig_dict=1" in entries:
        from ._config import load

        cfg = Config(entries, load(cfg.config))
    install(cfg.loglevel or "info", cfg.errorlog)
    for name in ("logconfig_dict", "logconfig_json", "logconfig"):
        value = getattr(cfg, name)
        if not value:
            continue
        try:
            apply(name, value)
        except Exception as error:
            cause = f": {error.__cause__}" if error.__cause__ is not None else ""
            where = "" if isinstance(value, dict) else f" {value}"
            raise ValueError(f"{name}{where} cannot be used: {error}{cause}") from error
        Log().info("%s applies to the app's logging; cwsgi's own lines keep their form", name)
        return True
    return False


def apply(name: str, value: "Any") -> None:
    if name == "logconfig":
        if not os.path.exists(value):
            raise FileNotFoundError("there is no such file")
        logging.config.fileConfig(
            value,
            defaults={"__file__": value, "here": os.path.dirname(value)},
            disable_existing_loggers=False,
        )
        return
    if name == "logconfig_json":
        import json

        with open(value, encoding="utf-8") as stream:
            value = json.load(stream)
        if not isinstance(value, dict):
            raise TypeError("it is not an object")
    logging.config.dictConfig({**base(), **value})
    # What reaches the access logger; without any of it its handler is the one of base().
    _gunicorn_loggers.access_is_plain = not value.keys() & {
        "loggers",
        "handlers",
        "formatters",
        "filters",
    }


def base() -> "dict[str, Any]":
    """Return the dictConfig that a user's is laid over, top-level key by key."""

    def handler(stream: str) -> "dict[str, str]":
        return {
            "class": "logging.StreamHandler",
            "formatter": "generic",
            "stream": f"ext://sys.{stream}",
        }

    def logger(name: str, handler: str) -> "dict[str, Any]":
        return {"level": "INFO", "handlers": [handler], "propagate": True, "qualname": name}

    return {
        "version": 1,
        "disable_existing_loggers": False,
        "root": {"level": "INFO", "handlers": ["console"]},
        "loggers": {
            "gunicorn.error": logger("gunicorn.error", "error_console"),
            "gunicorn.access": logger("gunicorn.access", "console"),
        },
        "handlers": {"console": handler("stdout"), "error_console": handler("stderr")},
        "formatters": {
            "generic": {"class": "logging.Formatter", "format": FORMAT, "datefmt": DATE}
        },
    }
