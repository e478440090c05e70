"""`cwsgi doctor` as the tests run it, and what it has found."""

import json
from pathlib import Path

from server import run

SICK = Path(__file__).with_name("sick")

# What the machine of the test is must not count.
PLATFORM = ("K_SERVICE", "KUBERNETES_SERVICE_HOST", "ECS_CONTAINER_METADATA_URI_V4", "DYNO")


def doctor(app, *words, before=("--no-image", "--no-memory"), folder=SICK, **env):
    """Runs it and returns its report; what it exits with has to be what the report says."""
    env = {**dict.fromkeys(PLATFORM), "PYTHONDONTWRITEBYTECODE": None, **env}
    done = run("doctor", *before, "--json", app, *words, env=env, cwd=folder, timeout=240)
    assert done.returncode in (0, 4, 8), done.stderr + done.stdout
    report = json.loads(done.stdout)
    assert report["exit"] == done.returncode and done.stderr == ""
    return report


def ids(report):
    """What was found; not that support of some version has ended by the day of this test."""
    found = (one["id"] for one in report["findings"])
    return sorted(one for one in found if not one.startswith("eol-"))


def finding(report, id):
    (found,) = [one for one in report["findings"] if one["id"] == id]
    return found
