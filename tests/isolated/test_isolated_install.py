"""Each distribution, alone in its own environment, imports and starts.

Dependencies are the architecture: the tracking image holds no torch because its pyproject.toml
names none, and what a service imports without naming fails here.
"""

import subprocess
from pathlib import Path

import pytest

from tests.isolated.environments import (
    DISTRIBUTIONS,
    installed,
    make_environment,
    make_torch_environment,
)
from tests.processes import SETTINGS, running_service

IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""

NO_SERVICES = ("protos", "training")


@pytest.mark.parametrize(
    "name", [n.removeprefix("shoal_") for n in DISTRIBUTIONS.values() if n not in NO_SERVICES]
)
def test_a_distribution_alone_imports_and_starts(
    name: str, constraints: Path, tmp_path: Path
) -> None:
    python = make_environment(tmp_path / "env", constraints, f"shoal-{name}")

    if name != "cli":
        subprocess.run([python, "-c", IMPORT_ALL, f"shoal_{name}"], check=True, cwd=tmp_path)
    present = installed(python)
    assert "torch" not in present
    others = {f"shoal-{service}" for service in SETTINGS if service != name}
    assert not present & others
    if name in SETTINGS:
        with running_service(python, name, tmp_path / "home", tmp_path):
            pass


@pytest.mark.slow
def test_the_training_program_alone_imports_and_knows_no_grpc(
    constraints: Path, tmp_path: Path
) -> None:
    python = make_torch_environment(tmp_path / "env", constraints, "shoal-training")

    subprocess.run([python, "-c", IMPORT_ALL, "shoal_training"], check=True, cwd=tmp_path)
    assert not installed(python) & {"grpcio", "shoal-common", "shoal-protos"}


def test_the_command_alone_names_what_it_lacks(constraints: Path, tmp_path: Path) -> None:
    """Rendering and embedded services are the extra `local`; without it the error says so."""
    python = make_environment(tmp_path / "env", constraints, "shoal-cli")
    shoal = python.parent / "shoal"
    (tmp_path / "a.mp4").touch()
    (tmp_path / "a.slp").touch()

    assert subprocess.run([shoal, "--help"], check=True, capture_output=True).stdout
    completed = subprocess.run(
        [shoal, "render", "a.mp4", "a.slp", "-o", "b.mp4"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode != 0
    assert "pip install 'shoal-cli[local]'" in completed.stderr
    assert completed.stderr.count("\n") == 1
