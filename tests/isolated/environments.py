"""Virtual environments that hold one distribution and what it names, nothing else."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).parent / "uv"

DISTRIBUTIONS = {
    path.parent: path.parent.name
    for path in [
        ROOT / "protos" / "pyproject.toml",
        *sorted(ROOT.glob("services/*/pyproject.toml")),
        *sorted(ROOT.glob("clients/python/*/pyproject.toml")),
    ]
}


def build_wheels(folder: Path) -> Path:
    """Builds a wheel of every distribution; returns constraints that pin ours to these files.

    A name of ours must never be looked up in a public registry: others may own it there.
    """
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, *map(str, DISTRIBUTIONS)],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    constraints = folder / "constraints.txt"
    pins = [
        f"{wheel.name.split('-')[0].replace('_', '-')} @ {wheel.as_uri()}"
        for wheel in sorted(folder.glob("*.whl"))
    ]
    constraints.write_text((ROOT / "constraints.txt").read_text() + "\n".join(pins) + "\n")
    return constraints


def make_environment(folder: Path, constraints: Path, *distributions: str) -> Path:
    """Returns the interpreter of a new environment with `distributions` installed."""
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    python = folder / "bin" / "python"
    options = ["--quiet", "--python", python, "--constraints", constraints]
    subprocess.run([UV, "pip", "install", *options, *distributions], check=True)
    return python


def make_torch_environment(folder: Path, constraints: Path, *distributions: str) -> Path:
    """Returns the same as `make_environment`, by pip: only it is told where CPU torch lies."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    options = ["--quiet", "--disable-pip-version-check", "--constraint", constraints]
    subprocess.run([python, "-m", "pip", "install", *options, *distributions], check=True)
    return python


def installed(python: Path) -> set[str]:
    """Returns the names of the distributions in an environment."""
    listing = subprocess.run(
        [UV, "pip", "list", "--quiet", "--python", python, "--format", "freeze"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return {line.split("==")[0].lower() for line in listing.splitlines()}
