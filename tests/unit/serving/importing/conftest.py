"""Served models made once for all tests of the importer."""

import shutil

import pytest

from tests.unit.serving.graphs.served_models import ServedModels


@pytest.fixture(scope="session")
def served_models(shared_data, tmp_path_factory) -> ServedModels:
    """The real models, imported: served_models["bottomup"] runs one."""
    return ServedModels(shared_data / "models", tmp_path_factory.mktemp("served"))


@pytest.fixture
def torch_copy(shared_data, tmp_path):
    """Copies a real sleap-nn folder so that a test may change it: torch_copy("bottomup")."""

    def make(model):
        folder = tmp_path / "model"
        shutil.copytree(shared_data / "models_torch" / f"minimal_instance_{model}", folder)
        return folder

    return make
