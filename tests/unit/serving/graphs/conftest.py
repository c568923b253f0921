"""Served models made once for all tests of the graphs."""

import pytest

from tests.unit.serving.graphs.served_models import ServedModels


@pytest.fixture(scope="session")
def served_models(shared_data, tmp_path_factory) -> ServedModels:
    """The real models, imported: served_models["bottomup"] runs one."""
    return ServedModels(shared_data / "models", tmp_path_factory.mktemp("served"))
