"""What `config.toml` of a home may say, and that nothing in it is ignored."""

from pathlib import Path

import pytest

from shoal_cli.ensemble.home import Home
from shoal_cli.ensemble.services import JOB_SERVICES, services, unix_targets
from shoal_cli.ensemble.settings import EnsembleSettings, read_settings
from shoal_core.errors import InvalidArgument


def written(tmp_path: Path, text: str) -> EnsembleSettings:
    home = Home(tmp_path)
    home.config_file.write_text(text)
    return read_settings(home)


def test_without_a_file_there_are_defaults(tmp_path: Path) -> None:
    assert read_settings(Home(tmp_path)) == EnsembleSettings()


def test_a_file_has_the_last_word_about_services_and_supervision(tmp_path: Path) -> None:
    settings = written(
        tmp_path,
        "[supervision]\nsilence_seconds = 60\n"
        '[services.orchestrator]\nlease_seconds = 20\nlabels_target = "elsewhere:1"\n',
    )
    assert settings.supervision.silence_seconds == 60
    targets = unix_targets(JOB_SERVICES, Path("/tmp/shoal-x"))
    made = {
        service.name: service.settings
        for service in services(JOB_SERVICES, targets, Home(tmp_path), ["/"], settings.services)
    }
    assert "lease_seconds=20" in made["orchestrator"]
    assert [s for s in made["orchestrator"] if s.startswith("labels_target")] == [
        'labels_target="elsewhere:1"'
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[supervison]\n",
        "[supervision]\nsilense = 3\n",
        "[supervision]\nsilence_seconds = 0.1\n",
        "[supervision\n",
        "supervision = 3\n",
        "services = 3\n",
        "[services]\nworker = 3\n",
    ],
)
def test_what_is_not_understood_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"config\.toml"):
        written(tmp_path, text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    Home(tmp_path).config_file.mkdir()
    with pytest.raises(InvalidArgument, match=r"config\.toml cannot be read"):
        read_settings(Home(tmp_path))


@pytest.mark.parametrize("table", [{"wroker": {}}, {"worker": {"listen": "0.0.0.0:1"}}])
def test_settings_of_no_service_or_of_its_place_are_refused(tmp_path: Path, table: dict) -> None:
    targets = unix_targets(JOB_SERVICES, Path("/tmp/shoal-x"))
    with pytest.raises(InvalidArgument, match="of no service"):
        services(JOB_SERVICES, targets, Home(tmp_path), ["/"], table)
