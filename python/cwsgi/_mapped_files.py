"""Which pages of files this process has mapped and touched, as far as the kernel tells."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def mapped_files() -> "dict[str, dict[str, Any]]":
    """Return the files that this process has mapped, with the ranges that it has touched.

    /proc/self/pagemap tells which pages of a mapping are there. The kernel maps some pages
    around each that was touched, so the ranges are those of what is near in the file.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    found: dict[str, dict[str, Any]] = {}
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
        pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        for line in lines:
            words = line.split(None, 5)
            if len(words) < 6 or not words[5].startswith("/") or words[4] == "0":
                continue
            path = words[5]
            if path.startswith(("/memfd:", "/dev/", "/proc/")) or path.endswith(" (deleted)"):
                continue
            begin, end = (int(text, 16) for text in words[0].split("-"))
            pages = (end - begin) // page
            data = os.pread(pagemap, pages * 8, begin // page * 8)
            # Bit 63 of an entry: the page is there; bit 62: it was, and is swapped out.
            here = [bool(data[i + 7] & 0xC0) for i in range(0, len(data), 8)]
            one = found.setdefault(path, {"path": path, "bytes": 0, "ranges": []})
            _add_ranges(one["ranges"], here, int(words[2], 16), page)
    except OSError:
        return {}
    finally:
        os.close(pagemap)
    for path, one in list(found.items()):
        try:
            one["bytes"] = os.stat(path).st_size
        except OSError:
            del found[path]
            continue
        one["ranges"] = _joined(one["ranges"], one["bytes"])
    return found


def _add_ranges(ranges: "list[list[int]]", here: "list[bool]", offset: int, page: int) -> None:
    at = 0
    while at < len(here):
        if not here[at]:
            at += 1
            continue
        first = at
        while at < len(here) and here[at]:
            at += 1
        ranges.append([offset + first * page, (at - first) * page])


def _joined(ranges: "list[list[int]]", size: int) -> "list[list[int]]":
    """Return ranges in order, without gaps of less than 128 KiB, cut to the file's size."""
    found: list[list[int]] = []
    for offset, length in sorted(ranges):
        end = min(offset + length, size)
        if end <= offset:
            continue
        if found and offset <= found[-1][0] + found[-1][1] + (128 << 10):
            found[-1][1] = max(found[-1][1], end - found[-1][0])
        else:
            found.append([offset, end - offset])
    return found
