"""The walls between the parts, as a fresh interpreter sees them.

Import contracts look at the source; only a fresh interpreter sees imports inside functions.
"""

import json
import subprocess
import sys

import pytest

LIST_MODULES = """
import importlib, json, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(json.dumps(sorted(sys.modules)))
"""

FORBIDDEN = {
    "shoal_core": {"grpc", "google.protobuf", "torch", "cv2", "av", "h5py"},
}


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_a_package_and_all_its_modules_load_nothing_from_behind_their_wall(package: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIST_MODULES, package], capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout))
    assert any(name.startswith(f"{package}.") for name in loaded)
    assert not loaded & FORBIDDEN[package]


def test_the_core_knows_no_other_part_of_the_project() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIST_MODULES, "shoal_core"],
        capture_output=True,
        text=True,
        check=True,
    )
    parts = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert {part for part in parts if part.startswith("shoal")} == {"shoal_core"}
