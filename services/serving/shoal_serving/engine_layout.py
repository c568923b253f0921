"""What an engine calls the registry's versions, and where it finds their files."""

from dataclasses import dataclass
from typing import Protocol

from shoal_serving.registry import Registry, Version
from shoal_serving.triton_repository import ENGINE_VERSION, TritonRepository


@dataclass(frozen=True)
class Place:
    """A version on the engine."""

    model: str
    """The engine's name of the model."""
    version: str
    """The engine's number of the version."""
    load_version: str | None
    """What to ask for when it is loaded; None: the whole model."""


class EngineLayout(Protocol):
    """How the registry's versions lie in an engine's repository."""

    def place(self, version: Version) -> Place:
        """Returns where a version is."""
        ...

    def prepare(self, version: Version) -> None:
        """Makes sure that the engine finds the version's files."""
        ...

    def models(self, model_id: str) -> list[str]:
        """Returns the engine's names for the versions of a model."""
        ...

    def remove(self, model_id: str) -> None:
        """Removes what was prepared for a model."""
        ...


class SharedLayout:
    """The embedded engine's: it serves the registry's own folder."""

    def place(self, version: Version) -> Place:
        """Returns where a version is."""
        return Place(version.model, str(version.number), str(version.number))

    def prepare(self, version: Version) -> None:
        """Does nothing: the files are there."""

    def models(self, model_id: str) -> list[str]:
        """Returns the one name."""
        return [model_id]

    def remove(self, model_id: str) -> None:
        """Does nothing: the registry removes its files."""


class TritonLayout:
    """Triton's: a repository of its own, in which each version is a model."""

    def __init__(self, *, registry: Registry, repository: TritonRepository) -> None:
        self._registry = registry
        self._repository = repository

    def place(self, version: Version) -> Place:
        """Returns where a version is."""
        return Place(_name(version), ENGINE_VERSION, None)

    def prepare(self, version: Version) -> None:
        """Writes Triton's model for a version, if it is not there."""
        self._repository.add(_name(version), self._registry.folder(version))

    def models(self, model_id: str) -> list[str]:
        """Returns Triton's models for the versions of a model."""
        return self._repository.names(f"{model_id}@")

    def remove(self, model_id: str) -> None:
        """Removes Triton's models for the versions of a model."""
        for name in self.models(model_id):
            self._repository.remove(name)


def _name(version: Version) -> str:
    return f"{version.model}@{version.number}"
