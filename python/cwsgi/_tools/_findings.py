"""What doctor finds: each with its id, how bad it is, what it costs, what to do."""

import os
import re
from collections.abc import Mapping
from typing import Any

ADVICE, WARNING, ERROR = "advice", "warning", "error"
SEVERITIES = (ERROR, WARNING, ADVICE)
# Exit status by the worst finding. 1 and 2 are those of a doctor that could not look.
EXITS = {ERROR: 8, WARNING: 4, ADVICE: 0}


class Finding:
    """One thing that is not as it should be.

    Attributes:
        id: what docs/doctor.md has it under.
        severity: ERROR, WARNING or ADVICE.
        title: what is wrong, in a line.
        cost: what that costs, measured where it can be.
        advice: what to do.
        details: more lines, such as where it happens.
    """

    def __init__(
        self, id: str, severity: str, title: str, cost: str, advice: str, details: Any = ()
    ) -> None:
        self.id, self.severity, self.title = id, severity, title
        self.cost, self.advice, self.details = cost, advice, [str(one) for one in details]

    def as_dict(self) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for name in ("id", "severity", "title", "cost", "advice", "details")
        }


def exit_status(findings: list[Finding]) -> int:
    return max((EXITS[one.severity] for one in findings), default=0)


# ---- secrets ----

SECRET = re.compile(
    r"SECRET|TOKEN|PASS|(?:^|_)PWD(?:_|$)|KEY|CREDENTIAL|AUTH|PRIVATE|COOKIE|SALT|SIGN|DSN|"
    r"(?:^|_)UR[IL](?:_|$)|CONN|DATABASE|JWT|CERT|SESSION",
    re.I,
)
FOLDERS = {"PWD", "OLDPWD"}  # a shell's
IN_URL = re.compile(r"([a-z][a-z0-9+.-]*://)[^\s/@'\"]+@", re.I)
LEAST = 6  # characters: a shorter value is a word that stands elsewhere, too


class Redactor:
    """Takes values of variables that may be secrets out of whatever is shown."""

    def __init__(self, environ: "Mapping[str, str]") -> None:
        self._values: list[tuple[str, str]] = []
        self.add(environ)

    def add(self, environ: "Mapping[str, str]") -> None:
        for name, value in environ.items():
            if not SECRET.search(name) or name in FOLDERS or len(value) < LEAST:
                continue
            # Where a secret lies is none.
            if not (value.startswith("/") and os.path.exists(value)):
                self._values.append((value, name))
        # The longest first: one may be a part of another.
        self._values.sort(key=lambda one: -len(one[0]))

    def text(self, text: str) -> str:
        for value, name in self._values:
            if value in text:
                text = text.replace(value, f"[${name}]")
        return IN_URL.sub(r"\1[...]@", text)

    def all(self, value: Any) -> Any:
        """Return a value, and what is in it, without them."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.all(key): self.all(one) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.all(one) for one in value]
        return value
