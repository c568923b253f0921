"""Fixtures that every tier uses."""

from pathlib import Path

import hypothesis
import pytest

# How long an example takes says something about the machine, not about the code.
hypothesis.settings.register_profile("shoal", deadline=None)
hypothesis.settings.load_profile("shoal")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings, labels and models beside the checkout; skips where they are missing."""
    folder = (Path(__file__).resolve().parents[2] / "shared" / "data").resolve()
    if not folder.is_dir():
        pytest.skip("no real recordings beside the checkout: ../shared/data is missing")
    return folder
