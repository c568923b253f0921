"""Builds the kernels for each generation of processors; one build is chosen when loaded."""

import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SOURCE = Path("shoal_engine", "winograd", "kernels.c")
_LIBRARIES = Path("shoal_engine", "winograd", "libraries")
_X86_LEVELS = ("x86-64-v4", "x86-64-v3")
"""Of the x86-64 psABI: with AVX-512, and with AVX2."""


class KernelsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Compiles kernels.c before a wheel or an editable installation is made."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Makes the shared libraries, and says what they run on."""
        source, folder = Path(self.root) / _SOURCE, Path(self.root) / _LIBRARIES
        folder.mkdir(exist_ok=True)
        _build(source, folder / "kernels.so", [])
        if platform.machine() == "x86_64":
            for level in _X86_LEVELS:
                options = [f"-march={level}", "-mprefer-vector-width=512"]
                _build(source, folder / f"kernels-{level}.so", options)
        build_data["pure_python"] = False
        tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{tag}"


def _build(source: Path, library: Path, options: list[str]) -> None:
    """Compiles one library; whoever has the old one open keeps it."""
    compiler = os.environ.get("CC", "cc")
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        made = Path(folder) / library.name
        command = [compiler, "-O3", "-std=gnu11", "-fPIC", "-shared", *options]
        try:
            subprocess.run([*command, "-o", str(made), str(source)], check=True)
        except FileNotFoundError:
            sys.exit(f"shoal-engine needs a C compiler ({compiler}); install gcc or set CC.")
        made.replace(library)
