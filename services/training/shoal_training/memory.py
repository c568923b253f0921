"""How much memory this process may still take."""

from pathlib import Path

_MACHINE = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")
"""Where a container sees its own limits (cgroup v2)."""


def available_memory_bytes(machine: Path = _MACHINE, group: Path = _GROUP) -> int | None:
    """Returns what the machine has available, or less if its container may take less.

    None where neither says anything (no Linux).
    """
    known = [bytes_ for bytes_ in (_of_machine(machine), _of_group(group)) if bytes_ is not None]
    return min(known, default=None)


def _of_machine(path: Path) -> int | None:
    if not path.exists():
        return None
    for line in path.read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return None


def _of_group(folder: Path) -> int | None:
    limit, current = folder / "memory.max", folder / "memory.current"
    if not (limit.exists() and current.exists()):
        return None
    most = limit.read_text().strip()
    if most == "max":
        return None
    # Cached files are given back when memory is needed.
    counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    return max(0, int(most) - int(current.read_text()) + int(counts["file"]))
