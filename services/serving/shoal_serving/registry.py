"""The model registry: files, of which every change is visible whole or not at all.

    repository/<model>/<version>/               what the engine serves: chain, contract, graphs
    repository/<model>/<version>/version.json   where it came from and when
    repository/<model>/<version>/tuning.json    what its networks run in; the one thing that changes
    repository/<model>/aliases.json             alias → versions, the present one last
    staging/                                    half-made things; swept at start
    repository/shoal-trial-…/1/                 a version as it is tried, see `trials`
    lock                                        held by the one process that may write

`repository` is a repository in Triton's sense: integer folders are versions, other entries are
ignored. A model is deleted by one rename, its aliases with it.
"""

import itertools
import json
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from shoal_common import names
from shoal_common.folder_lock import FolderLock
from shoal_common.inference.chain import CONTRACT_FILE
from shoal_common.inference.contract import PoseContract
from shoal_common.inference.tuning import TUNING_FILE, Tuning
from shoal_core.errors import DataLoss, FailedPrecondition, NotFound, ShoalError
from shoal_serving.aliases import (
    ALIASES_FILE,
    Aliases,
    aliases_content,
    pointed_at,
    read_aliases,
)
from shoal_serving.durable import DurableFiles
from shoal_serving.model_names import TRIAL_PREFIX

STAGED_FOLDER = "version"
"""Folder of a workspace that becomes the version."""


_VERSION_FILE = "version.json"


@dataclass(frozen=True)
class Source:
    """What a version was made from."""

    uris: tuple[str, ...]
    """Folders, as the caller named them."""
    content_hash: str
    """SHA-256 over the imported files, in hexadecimal."""
    converter: str
    """Which code made the graphs: the same files give others once it has changed."""


@dataclass(frozen=True)
class Version:
    """One immutable version of a model."""

    model: str
    number: int
    """Counts from 1."""
    contract: PoseContract
    source: Source
    create_time: datetime
    """When it was published, in UTC."""
    tuning: Tuning | None = None
    """What its networks run in; None: all in the default backend."""

    @property
    def name(self) -> str:
        """The resource name."""
        return f"models/{self.model}/versions/{self.number}"


@dataclass(frozen=True)
class Model:
    """A model with everything that is registered under its name."""

    model_id: str
    versions: tuple[Version, ...]
    """Oldest first; at least one."""
    aliases: Aliases
    """By name."""


class Registry:
    """Reads and changes the registry below one folder; thread-safe.

    One process at a time may hold the folder.
    """

    def __init__(self, folder: Path, files: DurableFiles | None = None) -> None:
        """Takes the folder over and sweeps what a crash has left in it.

        Raises:
            FailedPrecondition: FOLDER_IN_USE when another process holds it.
        """
        self._repository = folder / "repository"
        self._repository.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(folder)
        self._files = files or DurableFiles(folder / "staging")
        self._files.sweep()
        self._remove_empty_models()
        self._guard = threading.RLock()

    def close(self) -> None:
        """Lets go of the folder; nothing may be changed through this object after that."""
        self._lock.release()

    @property
    def repository(self) -> Path:
        """The folder that the engine serves."""
        return self._repository

    def new_workspace(self) -> Path:
        """Returns a new empty folder that nobody sees, for `publish` or `discard`."""
        folder = self._files.new_path()
        folder.mkdir()
        return folder

    def publish(
        self, model_id: str, workspace: Path, *, source: Source, create_time: datetime
    ) -> Version:
        """Makes the folder `version` of a workspace the next version of a model.

        The workspace is gone afterwards.

        Returns the version that is there if the same files have become one already.

        Raises:
            DataLoss: MODEL_DAMAGED when the folder holds no readable contract.
            OSError: When the disk is full; no version is visible then.
        """
        staged = workspace / STAGED_FOLDER
        provenance = {
            "source_uris": source.uris,
            "content_hash": source.content_hash,
            "converter": source.converter,
            "create_time": create_time.isoformat(),
        }
        try:
            with self._guard:
                known = self.version_of(model_id, source.content_hash, source.converter)
                if known is not None:
                    return known
                content = json.dumps(provenance, indent=2).encode()
                self._files.write_beside(staged / _VERSION_FILE, content)
                number = max(self._numbers(model_id), default=0) + 1
                version = _read_version(model_id, number, staged)
                self._files.make_folder(self._folder(model_id))
                self._files.publish_folder(staged, self._folder(model_id) / str(number))
                return version
        finally:
            self.discard(workspace)

    def discard(self, workspace: Path) -> None:
        """Removes a workspace."""
        shutil.rmtree(workspace, ignore_errors=True)

    def model(self, model_id: str) -> Model:
        """Returns one model.

        Raises:
            NotFound: MODEL_NOT_FOUND.
            DataLoss: MODEL_DAMAGED when its files cannot be read.
        """
        with self._guard:
            versions = tuple(self._versions(model_id))
            if not versions:
                raise _model_not_found(model_id)
            return Model(
                model_id=model_id, versions=versions, aliases=read_aliases(self._folder(model_id))
            )

    def models(self, *, after: str, limit: int) -> Sequence[Model]:
        """Returns up to `limit` models whose names follow `after`, ascending."""
        with self._guard:
            ids = sorted(entry.name for entry in self._repository.iterdir() if entry.is_dir())
            found = (
                model_id
                for model_id in ids
                if model_id > after
                and not model_id.startswith(TRIAL_PREFIX)
                and self._numbers(model_id)
            )
            return [self.model(model_id) for model_id in itertools.islice(found, limit)]

    def version_of(self, model_id: str, content_hash: str, converter: str) -> Version | None:
        """Returns the version that this code has made from these files, or None."""
        made = content_hash, converter
        with self._guard:
            for version in self._versions(model_id):
                if (version.source.content_hash, version.source.converter) == made:
                    return version
            return None

    def resolve(self, name: str) -> Version:
        """Returns the version behind the name of a model (its latest), alias or version.

        Raises:
            InvalidArgument: NAME_INVALID.
            NotFound: MODEL_NOT_FOUND, VERSION_NOT_FOUND or ALIAS_NOT_FOUND.
        """
        with self._guard:
            if "/aliases/" in name:
                ids = names.parse(names.ALIAS, name)
                number = self._versions_of(ids["model"], ids["alias"])[-1]
                return self._version(ids["model"], str(number))
            if "/versions/" in name:
                ids = names.parse(names.VERSION, name)
                return self._version(ids["model"], ids["version"])
            model_id = names.parse(names.MODEL, name)["model"]
            return self._version(model_id, str(self._existing_numbers(model_id)[-1]))

    def folder(self, version: Version) -> Path:
        """Returns where a version's files lie."""
        return self._folder(version.model) / str(version.number)

    def set_tuning(
        self, version: Version, tuning: Tuning, networks: Mapping[str, bytes]
    ) -> Version:
        """Makes a version run as a tuning says; returns it.

        Args:
            version: The version.
            tuning: Backend of each network.
            networks: Files that it needs beside the version's own, by name.

        Raises:
            NotFound: MODEL_NOT_FOUND or VERSION_NOT_FOUND when it has been deleted meanwhile.
        """
        with self._guard:
            folder = self.folder(self._version(version.model, str(version.number)))
            for name, content in networks.items():
                self._files.write(folder / name, content)
            self._files.write(folder / TUNING_FILE, tuning.to_json().encode())
            return self._version(version.model, str(version.number))

    def delete(self, model_id: str) -> None:
        """Deletes a model with its versions and aliases, in one step.

        Raises:
            NotFound: MODEL_NOT_FOUND.
        """
        with self._guard:
            self._existing_numbers(model_id)
            self._files.remove_folder(self._folder(model_id))

    def set_alias(self, model_id: str, alias: str, version: str) -> tuple[int, ...]:
        """Points an alias at a version; returns all that it has named, the present one last.

        Raises:
            NotFound: MODEL_NOT_FOUND or VERSION_NOT_FOUND.
        """
        with self._guard:
            number = self._version(model_id, version).number
            aliases = pointed_at(read_aliases(self._folder(model_id)), alias, number)
            self._write_aliases(model_id, aliases)
            return aliases[alias]

    def roll_back_alias(self, model_id: str, alias: str) -> tuple[int, ...]:
        """Points an alias at the version before; returns what `set_alias` does.

        Raises:
            NotFound: MODEL_NOT_FOUND or ALIAS_NOT_FOUND.
            FailedPrecondition: NOTHING_TO_ROLL_BACK when it has named no other version.
        """
        with self._guard:
            *earlier, present = self._versions_of(model_id, alias)
            if not earlier:
                raise FailedPrecondition(
                    "NOTHING_TO_ROLL_BACK",
                    f"{model_id}@{alias} has named version {present} only; promote another one "
                    "instead.",
                    model=model_id,
                    alias=alias,
                )
            aliases = {**read_aliases(self._folder(model_id)), alias: tuple(earlier)}
            self._write_aliases(model_id, aliases)
            return tuple(earlier)

    def delete_alias(self, model_id: str, alias: str) -> None:
        """Removes an alias.

        Raises:
            NotFound: MODEL_NOT_FOUND or ALIAS_NOT_FOUND.
        """
        with self._guard:
            self._versions_of(model_id, alias)
            aliases = read_aliases(self._folder(model_id))
            self._write_aliases(model_id, {k: v for k, v in aliases.items() if k != alias})

    def _remove_empty_models(self) -> None:
        """Removes the folders of models whose first version a crash has prevented."""
        for folder in self._repository.iterdir():
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def _folder(self, model_id: str) -> Path:
        return self._repository / names.check_id("model", model_id)

    def _numbers(self, model_id: str) -> list[int]:
        folder = self._folder(model_id)
        if not folder.is_dir():
            return []
        return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal())

    def _existing_numbers(self, model_id: str) -> list[int]:
        numbers = self._numbers(model_id)
        if not numbers:
            raise _model_not_found(model_id)
        return numbers

    def _versions(self, model_id: str) -> Iterator[Version]:
        for number in self._numbers(model_id):
            yield _read_version(model_id, number, self._folder(model_id) / str(number))

    def _version(self, model_id: str, number: str) -> Version:
        numbers = self._existing_numbers(model_id)
        if number not in map(str, numbers):
            raise NotFound(
                "VERSION_NOT_FOUND",
                f"Model {model_id!r} has no version {number}; it has "
                f"{', '.join(map(str, numbers))}.",
                model=model_id,
                version=number,
            )
        return _read_version(model_id, int(number), self._folder(model_id) / number)

    def _versions_of(self, model_id: str, alias: str) -> tuple[int, ...]:
        """Returns the versions that an alias has named, the present one last."""
        self._existing_numbers(model_id)
        aliases = read_aliases(self._folder(model_id))
        if alias not in aliases:
            raise NotFound(
                "ALIAS_NOT_FOUND",
                f"Model {model_id!r} has no alias {alias!r}; it has "
                f"{', '.join(sorted(aliases)) or 'none'}.",
                model=model_id,
                alias=alias,
            )
        return aliases[alias]

    def _write_aliases(self, model_id: str, aliases: Aliases) -> None:
        self._files.write(self._folder(model_id) / ALIASES_FILE, aliases_content(aliases))


def _read_version(model_id: str, number: int, folder: Path) -> Version:
    try:
        provenance = json.loads((folder / _VERSION_FILE).read_text())
        return Version(
            model=model_id,
            number=number,
            contract=PoseContract.from_json((folder / CONTRACT_FILE).read_text()),
            source=Source(
                uris=tuple(provenance["source_uris"]),
                content_hash=provenance["content_hash"],
                converter=provenance.get("converter", ""),
            ),
            create_time=datetime.fromisoformat(provenance["create_time"]).astimezone(UTC),
            tuning=_read_tuning(folder / TUNING_FILE),
        )
    except (FileNotFoundError, KeyError, TypeError, ValueError, ShoalError) as error:
        raise DataLoss(
            "MODEL_DAMAGED",
            f"Version {number} of model {model_id!r} cannot be read ({error}); delete the model "
            "and import it again.",
            model=model_id,
            version=number,
        ) from error


def _read_tuning(path: Path) -> Tuning | None:
    return Tuning.from_json(path.read_text()) if path.is_file() else None


def _model_not_found(model_id: str) -> NotFound:
    return NotFound(
        "MODEL_NOT_FOUND",
        f"There is no model {model_id!r}; `shoal models list` shows those that are there.",
        model=model_id,
    )
