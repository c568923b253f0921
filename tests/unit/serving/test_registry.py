"""Laws of the model registry."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shoal_common.inference.chain import COMPOSED_FILE, CONTRACT_FILE
from shoal_core.errors import DataLoss, FailedPrecondition, NotFound
from shoal_serving.durable import DurableFiles
from shoal_serving.registry import STAGED_FOLDER, Registry, Source, Version
from tests.fakes.model_versions import CONTRACT, model_folder, write_version

CONVERTER = "first"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class FullDisk(DurableFiles):
    """A disk that fills up halfway through every file."""

    def write_beside(self, path: Path, content: bytes) -> None:
        path.write_bytes(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    opened = Registry(tmp_path / "models")
    yield opened
    opened.close()


def publish(
    registry: Registry, model_id: str, content: str = "a", converter: str = CONVERTER
) -> Version:
    workspace = registry.new_workspace()
    sources = model_folder(workspace.parent / "sources", content)
    write_version([sources], workspace / STAGED_FOLDER)
    return registry.publish(
        model_id, workspace, source=Source(("/data/m",), content, converter), create_time=NOW
    )


def test_a_published_version_reads_back_as_it_was_given(registry: Registry) -> None:
    published = publish(registry, "flies")
    assert published == Version("flies", 1, CONTRACT, Source(("/data/m",), "a", CONVERTER), NOW)
    assert registry.model("flies").versions == (published,)
    assert (registry.repository / "flies" / "1" / COMPOSED_FILE).exists()


def test_versions_count_from_one_in_the_order_of_publishing(registry: Registry) -> None:
    numbers = [publish(registry, "flies", str(content)).number for content in range(12)]
    assert numbers == list(range(1, 13))
    assert [version.number for version in registry.model("flies").versions] == numbers


def test_the_same_files_make_one_version_of_a_model(registry: Registry) -> None:
    first, again = publish(registry, "flies"), publish(registry, "flies")
    assert first == again
    assert registry.version_of("flies", "a", CONVERTER) == first
    assert registry.version_of("mice", "a", CONVERTER) is None


def test_another_converter_makes_another_version_of_the_same_files(registry: Registry) -> None:
    publish(registry, "flies")
    assert registry.version_of("flies", "a", "second") is None
    again = publish(registry, "flies", converter="second")
    assert again.number == 2
    assert registry.version_of("flies", "a", "second") == again


def test_publishing_in_parallel_loses_and_repeats_nothing(registry: Registry) -> None:
    with ThreadPoolExecutor(8) as pool:
        contents = [str(index % 8) for index in range(16)]
        versions = list(pool.map(lambda content: publish(registry, "flies", content), contents))
    assert {version.number for version in versions} == set(range(1, 9))
    assert len(registry.model("flies").versions) == 8


def test_a_name_leads_to_the_latest_version_an_alias_or_a_version(registry: Registry) -> None:
    publish(registry, "flies", "a")
    publish(registry, "flies", "b")
    registry.set_alias("flies", "prod", "1")
    assert registry.resolve("models/flies").number == 2
    assert registry.resolve("models/flies/aliases/prod").number == 1
    assert registry.resolve("models/flies/versions/1").number == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("models/mice", "MODEL_NOT_FOUND"),
        ("models/mice/aliases/prod", "MODEL_NOT_FOUND"),
        ("models/mice/versions/1", "MODEL_NOT_FOUND"),
        ("models/flies/versions/2", "VERSION_NOT_FOUND"),
        ("models/flies/versions/01", "VERSION_NOT_FOUND"),
        ("models/flies/aliases/prod", "ALIAS_NOT_FOUND"),
    ],
)
def test_a_name_of_nothing_is_not_found(name: str, reason: str, registry: Registry) -> None:
    publish(registry, "flies")
    with pytest.raises(NotFound) as caught:
        registry.resolve(name)
    assert caught.value.reason == reason


def test_aliases_move_and_go(registry: Registry) -> None:
    publish(registry, "flies", "a")
    publish(registry, "flies", "b")
    registry.set_alias("flies", "prod", "1")
    registry.set_alias("flies", "test", "2")
    assert registry.set_alias("flies", "prod", "2") == (1, 2)
    assert registry.model("flies").aliases == {"prod": (1, 2), "test": (2,)}
    registry.delete_alias("flies", "prod")
    assert registry.model("flies").aliases == {"test": (2,)}
    with pytest.raises(NotFound, match="no alias 'prod'; it has test"):
        registry.delete_alias("flies", "prod")


def test_an_alias_is_rolled_back_to_what_it_named_before(registry: Registry) -> None:
    for content in "abc":
        publish(registry, "flies", content)
    for version in ("1", "3", "3", "2"):
        registry.set_alias("flies", "prod", version)
    assert registry.model("flies").aliases == {"prod": (1, 3, 2)}
    assert registry.roll_back_alias("flies", "prod") == (1, 3)
    assert registry.roll_back_alias("flies", "prod") == (1,)
    assert registry.resolve("models/flies/aliases/prod").number == 1
    with pytest.raises(FailedPrecondition, match="has named version 1 only; promote another"):
        registry.roll_back_alias("flies", "prod")
    with pytest.raises(NotFound, match="no alias 'test'"):
        registry.roll_back_alias("flies", "test")


def test_only_the_last_versions_of_an_alias_are_remembered(registry: Registry) -> None:
    publish(registry, "flies", "a")
    publish(registry, "flies", "b")
    for version in ("1", "2") * 30:
        registry.set_alias("flies", "prod", version)
    (named,) = registry.model("flies").aliases.values()
    assert len(named) == 32
    assert named[-2:] == (1, 2)


def test_aliases_of_an_older_release_are_read(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    publish(registry, "flies")
    (tmp_path / "repository" / "flies" / "aliases.json").write_text('{"prod": 1}')
    assert registry.model("flies").aliases == {"prod": (1,)}


def test_an_alias_needs_a_version(registry: Registry) -> None:
    publish(registry, "flies")
    with pytest.raises(NotFound, match="no version 7; it has 1"):
        registry.set_alias("flies", "prod", "7")


def test_a_deleted_model_is_gone_with_its_aliases(registry: Registry) -> None:
    publish(registry, "flies")
    registry.set_alias("flies", "prod", "1")
    registry.delete("flies")
    assert not list(registry.repository.iterdir())
    publish(registry, "flies")
    assert registry.model("flies").aliases == {}
    with pytest.raises(NotFound):
        registry.delete("mice")


def test_pages_follow_one_another_by_name(registry: Registry) -> None:
    names = ["a", "b.2", "b_1", "c"]
    for name in reversed(names):
        publish(registry, name)
    first = [model.model_id for model in registry.models(after="", limit=3)]
    rest = [model.model_id for model in registry.models(after=first[-1], limit=3)]
    assert first + rest == sorted(names)


def test_one_process_at_a_time_holds_the_registry(registry: Registry) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        Registry(registry.repository.parent)
    assert caught.value.reason == "FOLDER_IN_USE"


def test_a_full_disk_leaves_no_version_and_no_alias_behind(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    working = Registry(folder)
    publish(working, "flies", "a")
    working.set_alias("flies", "prod", "1")
    working.close()

    full = Registry(folder, FullDisk(folder / "staging"))
    before = sorted(folder.rglob("*"))
    with pytest.raises(OSError, match="No space left"):
        full.set_alias("flies", "test", "1")
    workspace = full.new_workspace()
    write_version([model_folder(tmp_path / "m")], workspace / STAGED_FOLDER)
    with pytest.raises(OSError, match="No space left"):
        full.publish("flies", workspace, source=Source((), "b", CONVERTER), create_time=NOW)
    assert sorted(folder.rglob("*")) == before
    full.close()


@pytest.mark.parametrize("file", [CONTRACT_FILE, "version.json"])
@pytest.mark.parametrize("content", [None, "", "{}", "[1]"])
def test_a_damaged_version_is_named_and_can_be_deleted(
    file: str, content: str | None, registry: Registry
) -> None:
    publish(registry, "flies")
    path = registry.repository / "flies" / "1" / file
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(DataLoss, match="Version 1 of model 'flies' cannot be read"):
        registry.resolve("models/flies")
    registry.delete("flies")
    assert registry.models(after="", limit=10) == []


def test_a_crash_at_any_step_leaves_whole_versions_and_whole_aliases(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    subprocess.run(
        [sys.executable, "-m", "tests.fakes.crashing_registry", str(tmp_path)],
        cwd=root,
        check=True,
    )
    folders = sorted(tmp_path.iterdir())
    assert len(folders) > 40
    seen = set()
    for folder in folders:
        registry = Registry(folder)
        models = registry.models(after="", limit=10)
        seen.add(tuple((m.model_id, len(m.versions), tuple(m.aliases.items())) for m in models))
        for model in models:
            for version in model.versions:
                files = {path.name for path in (registry.repository / model.model_id).rglob("*")}
                assert {CONTRACT_FILE, COMPOSED_FILE, "version.json"} <= files
                assert version.contract == CONTRACT
        assert not list((folder / "staging").iterdir())
        registry.close()
    flies_1, flies_2 = ("flies", 1, ()), ("flies", 2, ())
    assert seen == {
        (),
        (flies_1,),
        (("flies", 1, (("prod", (1,)),)),),
        (("flies", 2, (("prod", (1,)),)),),
        (("flies", 2, (("prod", (1, 2)),)),),
        (("flies", 2, (("prod", (1, 2)),)), ("mice", 1, ())),
        (flies_2,),
    }
