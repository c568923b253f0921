"""Which processor this machine has, as far as the speed of runtimes depends on it."""

import os
import platform
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_MATRIX_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16")
"""Instructions that decide which precision is fastest."""


def processor_name(cpu_info: str | None = None) -> str:
    """Returns the processor's name, its instructions for matrices, and the cores in use.

    Args:
        cpu_info: What /proc/cpuinfo holds; by default it is read.
    """
    if cpu_info is None:
        cpu_info = _CPU_INFO.read_text() if _CPU_INFO.is_file() else ""
    fields: dict[str, str] = {}
    for line in cpu_info.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = set(fields.get("flags", "").split())
    name = fields.get("model name") or platform.machine()
    found = " ".join(flag for flag in _MATRIX_FLAGS if flag in flags)
    return f"{name} ({found or 'no vector instructions'}; {len(os.sched_getaffinity(0))} cores)"
