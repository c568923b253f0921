"""Wheels are built once for all environments."""

from pathlib import Path

import pytest

from tests.isolated.environments import build_wheels


@pytest.fixture(scope="session")
def constraints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Constraints that pin our distributions to wheels built from this tree."""
    return build_wheels(tmp_path_factory.mktemp("wheels"))
