"""Which model versions there are on disk, and which of them are loaded."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from shoal_common.names import RESOURCE_ID, check_id
from shoal_core.errors import NotFound, ShoalError, Unavailable
from shoal_engine.models import Model
from shoal_engine.statistics import Statistics

logger = logging.getLogger(__name__)

Loader = Callable[[Path, str, int], Model]

LATEST = ""
"""The version that a request without one means: the highest that is loaded."""

_Fingerprint = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model version that answers requests."""

    model: Model
    fingerprint: _Fingerprint
    """Name, size and time of each file, to notice that they were replaced."""
    statistics: Statistics = field(default_factory=Statistics)


@dataclass(frozen=True)
class IndexEntry:
    """A model version of the repository and whether it answers requests."""

    name: str
    version: str
    ready: bool
    reason: str
    """Why it is not ready; empty if it is or nobody asked for it."""


class ModelRepository:
    """The folder `<model>/<version>/` and what is loaded of it; used on the event loop only."""

    def __init__(self, *, folder: Path, loader: Loader) -> None:
        self._folder = folder
        self._loader = loader
        self._loaded: dict[str, dict[int, Loaded]] = {}
        self._failures: dict[tuple[str, int], str] = {}
        self._loading = asyncio.Lock()

    def get(self, name: str, version: str = LATEST) -> Loaded:
        """Returns a loaded version.

        Raises:
            NotFound: MODEL_NOT_FOUND when the repository does not have it.
            Unavailable: MODEL_NOT_READY when it is there but not loaded.
        """
        versions = self._loaded.get(name)
        if versions:
            number = max(versions) if version == LATEST else _number(version)
            if number in versions:
                return versions[number]
        if self._is_on_disk(name, version):
            raise Unavailable(
                "MODEL_NOT_READY",
                f"{_title(name, version)} is not loaded; load it first.",
                model=name,
                version=version,
            )
        raise _not_found(name, version)

    def is_ready(self, name: str, version: str = LATEST) -> bool:
        """Whether a version is loaded."""
        versions = self._loaded.get(name, {})
        return bool(versions) if version == LATEST else _number(version) in versions

    def versions(self, name: str, version: str = LATEST) -> list[Loaded]:
        """Returns the loaded versions of a model, of all models if the name is empty.

        Raises:
            NotFound: MODEL_NOT_FOUND.
            Unavailable: MODEL_NOT_READY.
        """
        if version != LATEST:
            return [self.get(name, version)]
        if name:
            self.get(name)
        names = [name] if name else sorted(self._loaded)
        return [loaded for name in names for _, loaded in sorted(self._loaded[name].items())]

    async def load(self, name: str, version: str = LATEST) -> None:
        """Loads all versions of a model, or one; a version that is loaded and unchanged stays.

        Either all of them are loaded in the end, or nothing has changed.

        Raises:
            NotFound: MODEL_NOT_FOUND.
            ShoalError: What is wrong with a version's files.
        """
        async with self._loading:
            on_disk = self._numbers_on_disk(name)
            wanted = on_disk if version == LATEST else [_number(version)]
            if not wanted or not set(wanted) <= set(on_disk):
                raise _not_found(name, version)
            before = self._loaded.get(name, {})
            loaded = {number: await self._load(name, number, before) for number in wanted}
            kept = {number: before[number] for number in set(before) & set(on_disk)}
            self._loaded[name] = kept | loaded

    async def _load(self, name: str, number: int, before: dict[int, Loaded]) -> Loaded:
        folder = self._folder / name / str(number)
        fingerprint = _fingerprint(folder)
        if number in before and before[number].fingerprint == fingerprint:
            return before[number]
        try:
            model = await asyncio.to_thread(self._loader, folder, name, number)
        except ShoalError as error:
            self._failures[name, number] = error.message
            raise
        self._failures.pop((name, number), None)
        logger.info("version %d of model %r is loaded", number, name)
        return Loaded(model, fingerprint)

    def unload(self, name: str, version: str = LATEST) -> None:
        """Forgets all versions of a model, or one; requests that are running end normally.

        Raises:
            NotFound: MODEL_NOT_FOUND when it is neither loaded nor in the repository.
        """
        versions = self._loaded.get(name, {})
        if not versions and not self._is_on_disk(name, version):
            raise _not_found(name, version)
        if version == LATEST:
            versions.clear()
        else:
            versions.pop(_number(version), None)
        if not versions:
            self._loaded.pop(name, None)

    def index(self, *, ready_only: bool) -> list[IndexEntry]:
        """Returns every version in the repository or in memory, by name and number."""
        names = {path.name for path in self._folder.iterdir() if RESOURCE_ID.fullmatch(path.name)}
        entries = [
            self._entry(name, number)
            for name in sorted(names | set(self._loaded))
            for number in sorted({*self._numbers_on_disk(name), *self._loaded.get(name, {})})
        ]
        return [entry for entry in entries if entry.ready or not ready_only]

    def _entry(self, name: str, number: int) -> IndexEntry:
        ready = number in self._loaded.get(name, {})
        reason = "" if ready else self._failures.get((name, number), "")
        return IndexEntry(name, str(number), ready, reason)

    def _is_on_disk(self, name: str, version: str) -> bool:
        numbers = self._numbers_on_disk(name)
        return bool(numbers) if version == LATEST else _number(version) in numbers

    def _numbers_on_disk(self, name: str) -> list[int]:
        folder = self._folder / check_id("model", name)
        return sorted(
            int(path.name) for path in folder.glob("*") if path.name.isdecimal() and path.is_dir()
        )


def _number(version: str) -> int:
    """Returns the number, -1 (which no version has) if it is none."""
    return int(version) if version.isdecimal() else -1


def _fingerprint(folder: Path) -> _Fingerprint:
    stats = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _title(name: str, version: str) -> str:
    return f"Model {name!r}" if version == LATEST else f"Version {version!r} of model {name!r}"


def _not_found(name: str, version: str) -> NotFound:
    return NotFound(
        "MODEL_NOT_FOUND",
        f"{_title(name, version)} is not in the repository.",
        model=name,
        version=version,
    )
