"""What the container or machine grants, as the server sees it (csrc/base/resources.c)."""

import math
import os
import platform
from pathlib import Path

# Variables that platforms set in their containers.
PLATFORMS = ("K_SERVICE", "KUBERNETES_SERVICE_HOST", "ECS_CONTAINER_METADATA_URI_V4", "DYNO")


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def in_container() -> bool:
    marks = ("/.dockerenv", "/run/.containerenv")
    return any(map(os.path.exists, marks)) or any(name in os.environ for name in PLATFORMS)


def system() -> dict[str, str]:
    """Return the name of the distribution, as of /etc/os-release, and its version."""
    try:
        told = platform.freedesktop_os_release()
    except OSError:
        return {}
    return {told["ID"]: told.get("VERSION_ID", "")}


def on_cloud_run() -> bool:
    return "K_SERVICE" in os.environ


def _cgroups(version: int) -> list[str]:
    """Return the folders of this process's cgroup and those above it, of one hierarchy."""
    for line in _text("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if version == 2 and not controllers:
            base = "/sys/fs/cgroup"
        elif version == 1 and "memory" in controllers.split(","):
            base = "/sys/fs/cgroup/memory"
        else:
            continue
        parts = [part for part in path.split("/") if part and part != ".."]
        return [os.path.join(base, *parts[:n]) for n in range(len(parts), -1, -1)]
    return []


def memory_limit() -> int:
    """Return the bytes that the cgroup grants; 0: no limit."""
    limits = [_text(f"{one}/memory.max") for one in _cgroups(2)]
    limits += [_text(f"{one}/memory.limit_in_bytes") for one in _cgroups(1)]
    numbers = [int(text) for text in limits if text.strip().isdigit()]
    # Version 1 says "no limit" by a very large number.
    return min((number for number in numbers if number < 1 << 60), default=0)


def cpus() -> int:
    found = len(os.sched_getaffinity(0))
    for folder in _cgroups(2):
        quota, _, period = _text(f"{folder}/cpu.max").partition(" ")
        if quota.isdigit() and period.strip().isdigit():
            found = min(found, max(math.ceil(int(quota) / int(period)), 1))
    return found


def available() -> int:
    """Return the bytes of memory that could be had now."""
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def is_memory(path: str) -> bool:
    """Return whether what is written there stays in memory (tmpfs, ramfs)."""
    best, kind = "", ""
    path = os.path.abspath(path)
    for line in _text("/proc/self/mounts").splitlines():
        fields = line.split()
        point = fields[1].replace("\\040", " ")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind in ("tmpfs", "ramfs")
