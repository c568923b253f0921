"""The compiled kernels: which of them this processor can run, and what they take."""

import ctypes
import functools
from pathlib import Path

from shoal_core.errors import FailedPrecondition

_FOLDER = Path(__file__).parent / "libraries"
_CPU_INFO = Path("/proc/cpuinfo")
_NEEDED_FLAGS = {
    "kernels-x86-64-v4.so": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
    "kernels-x86-64-v3.so": {"avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"},
    "kernels.so": set(),
}
"""Builds of kernels.c, the fastest first, and what a processor must have for them."""


class Geometry(ctypes.Structure):
    """`geometry` of layout.h."""

    _fields_ = (
        ("rows", ctypes.c_int64),
        ("columns", ctypes.c_int64),
        ("images", ctypes.c_int64),
        ("image_stride", ctypes.c_int64),
        ("pitch", ctypes.c_int64),
        ("channel", ctypes.c_int64),
        ("margin", ctypes.c_int64),
    )


class Tensor(ctypes.Structure):
    """`tensor` of layout.h."""

    _fields_ = (
        ("shape", Geometry),
        ("channels", ctypes.c_int64),
        ("start", ctypes.c_void_p),
        ("mask", ctypes.c_void_p),
    )


class Operation(ctypes.Structure):
    """`operation` of layout.h."""

    _fields_ = (
        ("kind", ctypes.c_int64),
        ("from_", Geometry),
        ("channels", ctypes.c_int64),
        ("inputs", ctypes.c_void_p),
        ("to", Tensor),
        ("pooled", Tensor),
        ("weights", ctypes.c_void_p),
        ("biases", ctypes.c_void_p),
        ("has_relu", ctypes.c_int64),
        ("sum_count", ctypes.c_int64),
        ("group", ctypes.c_int64),
        ("tap_counts", ctypes.c_int64 * 4),
        ("taps", ctypes.c_void_p),
        ("port", ctypes.c_int64),
    )


class Scratch(ctypes.Structure):
    """`scratch` of layout.h."""

    _fields_ = (
        ("tiles", ctypes.c_void_p),
        ("sums", ctypes.c_void_p),
        ("taps", ctypes.c_void_p),
    )


class Meeting(ctypes.Structure):
    """`meeting` of kernels.c."""

    _fields_ = (
        ("waiting", ctypes.c_int64),
        ("turn", ctypes.c_int64),
        ("is_stopped", ctypes.c_int64),
        ("ends", ctypes.c_int64),
    )


class Kernels:
    """One build of kernels.c."""

    def __init__(self, path: Path) -> None:
        """Loads it; the processor must have what it was built for."""
        self._library = ctypes.CDLL(str(path))
        self.run = self._library.run
        """Runs a thread's part of a network, without the interpreter's lock."""
        self.run.argtypes = (
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_void_p,
            ctypes.POINTER(Scratch),
            ctypes.POINTER(Meeting),
            ctypes.c_int64,
            ctypes.c_int64,
        )
        self.run.restype = ctypes.c_int64
        self.stop = self._library.stop
        """Stops a run, from any thread."""
        self.stop.argtypes = (ctypes.POINTER(Meeting),)
        self.stop.restype = None
        self.lane_count: int = self._library.lane_count()
        """Floats of a vector."""
        self.most_sums: int = self._library.most_sums()
        """Output channels that can be summed up at once."""


@functools.cache
def kernels() -> Kernels:
    """Returns the fastest build that this processor runs.

    Raises:
        FailedPrecondition: MODEL_LOAD_FAILED when none was built for such processors.
    """
    for path in runnable_builds():
        return Kernels(path)
    raise FailedPrecondition(
        "MODEL_LOAD_FAILED",
        "There are no Winograd kernels for this processor; choose another backend.",
    )


def runnable_builds(cpu_info: str | None = None) -> list[Path]:
    """Returns the builds that this processor runs, the fastest first.

    Args:
        cpu_info: What /proc/cpuinfo holds; by default it is read.
    """
    if cpu_info is None:
        cpu_info = _CPU_INFO.read_text() if _CPU_INFO.is_file() else ""
    flags = next((line for line in cpu_info.splitlines() if line.startswith("flags")), "")
    found = set(flags.split())
    return [
        _FOLDER / name
        for name, needed in _NEEDED_FLAGS.items()
        if needed <= found and (_FOLDER / name).is_file()
    ]
