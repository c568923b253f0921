"""Where the wheel `nvidia-pytriton` has put Triton, and what must be around it to run."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from shoal_core.errors import FailedPrecondition

_PROGRAM = "bin/tritonserver"
_STUB = "triton_python_backend_stub"
_FIND = """
import json, sys, sysconfig
print(json.dumps({
    "packages": sysconfig.get_path("purelib"),
    "version": "%d.%d" % sys.version_info[:2],
    "library": sysconfig.get_config_var("LIBDIR"),
}))
"""


@dataclass(frozen=True)
class Installation:
    """An environment that holds Triton."""

    environment: Path
    packages: Path
    """Its site-packages."""
    python_version: str
    """For example 3.11."""
    python_library: Path
    """Folder of libpython."""

    @classmethod
    def find(cls, environment: Path) -> Self:
        """Returns what an environment holds.

        Raises:
            FailedPrecondition: TRITON_NOT_INSTALLED when Triton is not in it.
        """
        python = environment / "bin" / "python"
        if not python.exists():
            raise _not_installed(environment)
        found = subprocess.run(
            [python, "-I", "-c", _FIND], capture_output=True, text=True, check=True
        )
        fields = json.loads(found.stdout)
        installation = cls(
            environment=environment,
            packages=Path(fields["packages"]),
            python_version=fields["version"],
            python_library=Path(fields["library"]),
        )
        if not installation.program.is_file():
            raise _not_installed(environment)
        return installation

    @property
    def program(self) -> Path:
        """The server."""
        return self._server / _PROGRAM

    @property
    def _server(self) -> Path:
        return self.packages / "pytriton" / "tritonserver"

    def make_backends(self, folder: Path) -> Path:
        """Returns a new folder with the Python backend, and the stub for this Python beside it."""
        backend = folder / "python"
        shutil.copytree(self._server / "backends" / "python", backend)
        stub = self._server / "python_backend_stubs" / self.python_version / _STUB
        shutil.copy2(stub, backend / _STUB)
        return folder

    def process_environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Returns the variables that the server needs to find its libraries and Python's."""
        libraries = (
            self._server / "external_libs",
            self.packages / "nvidia_pytriton.libs",
            self.python_library,
        )
        kept = {key: value for key, value in inherited.items() if key != "PYTHONHOME"}
        return {
            **kept,
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
            "PATH": os.pathsep.join((str(self.environment / "bin"), inherited.get("PATH", ""))),
            "VIRTUAL_ENV": str(self.environment),
            "PYTHONPATH": str(self.packages),
        }


def _not_installed(environment: Path) -> FailedPrecondition:
    return FailedPrecondition(
        "TRITON_NOT_INSTALLED",
        f"There is no Triton in {environment}; run `make setup-triton`, or set `environment` to a "
        "virtual environment with nvidia-pytriton 0.7.",
        path=environment,
    )
