"""Every configuration that is shipped is one that its service accepts."""

import importlib
from pathlib import Path

import pytest

from shoal_common.config import ServerConfig, load_config

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "config"
FILES = sorted(FOLDER.glob("*.yaml"))


def config_type(service: str) -> type[ServerConfig]:
    module = importlib.import_module(f"shoal_{service}.config")
    return next(
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, ServerConfig)
        and value.__module__ == module.__name__
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_configuration_is_accepted(path: Path) -> None:
    config = load_config(config_type(path.stem), path, [])
    assert config.listen


def test_every_service_ships_a_configuration() -> None:
    services = {
        main.parent.name.removeprefix("shoal_")
        for main in (FOLDER.parents[1] / "services").glob("*/shoal_*/__main__.py")
        if "run_service" in main.read_text()  # the training program serves nothing
    }
    assert services == {path.stem for path in FILES}


def test_shipped_configurations_are_those_of_one_ensemble() -> None:
    loaded = {path.stem: load_config(config_type(path.stem), path, []) for path in FILES}
    homes = {vars(config)["home"] for config in loaded.values() if "home" in vars(config)}
    assert len(homes) == 1
    repository = homes.pop() / "models" / "repository"
    assert vars(loaded["engine"])["model_repository"] == repository
