"""A configuration is taken as a whole or refused with the key's name."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from shoal_common.config import ServerConfig, load_config
from shoal_core.errors import InvalidArgument, NotFound


@dataclass(frozen=True)
class ToyConfig(ServerConfig):
    home: Path | None = None
    session_count: int = 3
    roots: tuple[str, ...] = ()


def test_settings_override_the_file(tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    path.write_text("listen: 127.0.0.1:1\nroots: [/a, /b]\nsession_count: 5\n")
    config = load_config(ToyConfig, path, ["session_count=7", "home=/data"])
    assert config == ToyConfig(
        listen="127.0.0.1:1", roots=("/a", "/b"), session_count=7, home=Path("/data")
    )


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (["listen=x", "sesion_count=2"], "sesion_count"),
        ([], "listen"),
        (["listen=x", "session_count=many"], "session_count"),
        (["listen=x", "session_count=true"], "session_count"),
        (["listen=x", "roots=/a"], "roots"),
        (["listen"], "listen"),
        (["listen=["], "listen"),
        (["listen=x", "log_level=LOUD"], "log_level"),
    ],
)
def test_a_wrong_configuration_names_the_key(settings: list[str], named: str) -> None:
    with pytest.raises(InvalidArgument, match=named):
        load_config(ToyConfig, None, settings)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"absent\.yaml"):
        load_config(ToyConfig, tmp_path / "absent.yaml", [])


def test_a_file_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("listen: [")
    with pytest.raises(InvalidArgument, match=r"broken\.yaml"):
        load_config(ToyConfig, path, [])
