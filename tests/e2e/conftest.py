"""A home with a registered model, shared by the tests of one module."""

from pathlib import Path

import pytest

from .shoal_command import shoal


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    folder = tmp_path_factory.mktemp("home")
    model = shared_data / "models" / "minimal_instance.UNet.bottomup"
    answer = shoal(folder, "models", "import", model, "--name", "pair")
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.fixture(scope="session")
def video(shared_data: Path) -> Path:
    return shared_data / "pair" / "centered_pair_small.mp4"


@pytest.fixture(scope="session")
def other_video(shared_data: Path) -> Path:
    return shared_data / "pair" / "centered_pair_low_quality.mp4"
