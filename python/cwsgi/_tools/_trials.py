"""Which settings `cwsgi tune` tries, and which of them it advises. Figures only: runs nothing."""

from typing import Any, NamedTuple

GAIN = 0.05  # less is none
LEAST_SAVED = 32 << 20  # by --preload, which may break an app
COMPUTES, WAITS = 0.8, 0.2  # share of a request's time in which it wants a processor


class Setting(NamedTuple):
    workers: int
    threads: int
    preload: bool = False

    def words(self) -> "list[str]":
        more = ["--preload"] if self.preload else []
        return ["--workers", str(self.workers), "--threads", str(self.threads), *more]

    def __str__(self) -> str:
        text = f"{self.workers} worker{'s' * (self.workers > 1)}"
        text += f" x {self.threads} thread{'s' * (self.threads > 1)}"
        return text + " --preload" * self.preload


class Limits(NamedTuple):
    """What is tried at most.

    Attributes:
        memory: bytes that all processes may hold; 0: no limit.
        threads: 1 for apps whose threads serve nothing (ASGI).
    """

    workers: int
    threads: int
    memory: int


class Trial(NamedTuple):
    """What was measured of a setting.

    Attributes:
        per_s: answers a second with as many connections as it bears.
        busy: processors that its processes used, or waited for, meanwhile.
        failed: why its figures count for nothing; "" else.
        capped: the load generator was at its limit: the server may bear more.
    """

    setting: Setting
    per_s: float
    busy: float = 0.0
    memory: int = 0
    start_s: float = 0.0
    failed: str = ""
    capped: bool = False
    figures: "dict[str, Any]" = {}

    def counts(self) -> bool:
        return not self.failed and not self.capped


class Plan:
    """Climbs: threads of one worker, then workers, then threads again, then --preload.

    Attributes:
        done: trials, by setting.
        stops: why a direction was left, in words.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.done: dict[Setting, Trial] = {}
        self.stops: list[str] = []

    def next(self) -> "Setting | None":
        """Return the setting to try now, None at the end."""
        self.stops = []
        at = Setting(1, 1)
        if at not in self.done:
            return at
        if not self.done[at].counts():
            return None
        for axis in ("threads", "workers", "threads"):
            at, wanted = self._climb(at, axis)
            if wanted:
                return wanted
        self.stops = list(dict.fromkeys(self.stops))
        lower, wanted = self._descend(at)
        if wanted:
            return wanted
        shared = lower._replace(preload=True)
        return shared if lower.workers > 1 and shared not in self.done else None

    def most(self) -> int:
        """Return about how many trials there may be in all, for a progress bar."""
        steps = self.limits.workers.bit_length() + 2 * self.limits.threads.bit_length()
        return max(steps + (self.limits.workers > 1), len(self.done) + 1)

    def _climb(self, at: Setting, axis: str) -> "tuple[Setting, Setting | None]":
        """Return how far it was worth it, and what has to be tried to know more."""
        most = getattr(self.limits, axis)
        while True:
            value = getattr(at, axis)
            if value >= most:
                if most > 1 and value > 1:
                    self.stops.append(f"{at}: no more {axis} than {most} were to be tried")
                return at, None
            higher = at._replace(**{axis: min(value * 2, most)})
            if why := self._too_large(at, higher):
                self.stops.append(why)
                return at, None
            if higher not in self.done:
                return at, higher
            trial = self.done[higher]
            gain = trial.per_s / max(self.done[at].per_s, 1e-9) - 1
            if trial.failed:
                self.stops.append(f"{higher}: {trial.failed}")
            elif trial.capped:
                self.stops.append(f"{higher}: the load generator was at its limit")
            elif gain < GAIN:
                self.stops.append(f"{higher} gains {100 * gain:.0f} % over {at}")
            if not trial.counts() or gain < GAIN:
                return at, None
            at = higher

    def _too_large(self, at: Setting, higher: Setting) -> str:
        """By what one worker holds, which is more than its share of several."""
        if not self.limits.memory or higher.workers == at.workers:
            return ""
        needed = self.done[at].memory / at.workers * higher.workers
        if needed <= self.limits.memory:
            return ""
        return f"{higher} would need about {needed / 2**20:.0f} MiB, more than there is"

    def _descend(self, at: Setting) -> "tuple[Setting, Setting | None]":
        """Fewer threads, while that costs nothing: others did the same for one worker."""
        most = self.done[at].per_s
        while at.workers > 1 and at.threads > 1:
            lower = at._replace(threads=max(at.threads // 2, 1))
            if lower not in self.done:
                return at, lower
            if not self.done[lower].counts() or self.done[lower].per_s < most * (1 - GAIN):
                break
            at = lower
        return at, None


def best(trials: "list[Trial]") -> "Trial | None":
    """Return the smallest that is within 5 % of the best; --preload where it saves memory."""
    usable = [one for one in trials if one.counts()]
    plain = [one for one in usable if not one.setting.preload]
    if not plain:
        return None
    most = max(one.per_s for one in plain)
    close = [one for one in plain if one.per_s >= most * (1 - GAIN)]
    found = min(close, key=lambda one: (one.setting.workers, one.setting.threads))
    for one in usable:
        if one.setting == found.setting._replace(preload=True) and saves(found, one):
            return one
    return found


def saves(plain: Trial, shared: Trial) -> bool:
    saved = plain.memory - shared.memory
    worth = saved >= LEAST_SAVED and saved >= 0.1 * plain.memory
    return worth and shared.per_s >= plain.per_s * (1 - GAIN)


def kind(trial: Trial) -> str:
    """Return what requests do most of their time, by one worker with one thread."""
    if trial.busy >= COMPUTES:
        return "computing"
    return "blocking" if trial.busy <= WAITS else "mixed"


def reasons(trials: "list[Trial]", chosen: Trial) -> "list[str]":
    """Return why, in figures that were measured."""
    by = {one.setting: one for one in trials}
    one = by[Setting(1, 1)]
    said = {
        "computing": "requests compute: threads share one processor, workers bring others",
        "blocking": "requests wait for others most of their time: threads wait side by side",
        "mixed": "requests compute and wait in turn: a few threads for each worker",
    }[kind(one)]
    lines = [f"one thread wants a processor {100 * min(one.busy, 1):.0f} % of the time: {said}"]
    if chosen is not one:
        ratio = chosen.per_s / max(one.per_s, 1e-9)
        lines.append(f"{chosen.setting} answers {ratio:.1f} times as much as {one.setting}")
    plain = by.get(chosen.setting._replace(preload=False))
    if chosen.setting.preload and plain:
        lines.append(
            f"--preload: {chosen.memory / 2**20:.0f} MiB instead of {plain.memory / 2**20:.0f} MiB"
            "; cwsgi doctor says what it would break"
        )
    most = max(other.per_s for other in trials if other.counts())
    if most > 1.01 * chosen.per_s:
        loss = 100 * (most / chosen.per_s - 1)
        lines.append(f"the most that another setting answers is {loss:.0f} % more")
    return lines
