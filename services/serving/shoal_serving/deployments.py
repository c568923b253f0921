"""What is loaded on the engine for whom, and keeping it loaded."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from shoal_common import deadlines
from shoal_core.errors import Unavailable
from shoal_serving.registry import Registry, Version


class Engine(Protocol):
    """What deployments need of the engine."""

    async def is_ready(self, version: Version) -> bool:
        """Whether it can infer with this version now; waits a bounded time for an engine."""
        ...

    async def load(self, version: Version) -> None:
        """Loads a version and returns when it is ready."""
        ...

    async def unload(self, model_id: str) -> None:
        """Unloads every version of a model."""
        ...


@dataclass
class _Loaded:
    """One version on the engine, as its watchers share it."""

    load_count: int = 0
    """Loads so far; watchers tell by it that the engine has come back."""
    check: asyncio.Task[None] | None = None
    """The check, and load where needed, that runs now or ran last."""


class Deployments:
    """Loads versions that are watched, once for all watchers, and again after a restart."""

    def __init__(self, *, registry: Registry, engine: Engine, poll_seconds: float) -> None:
        self._registry = registry
        self._engine = engine
        self._poll_seconds = poll_seconds
        self._loaded: dict[tuple[str, int], _Loaded] = {}
        self._changed = asyncio.Event()
        self._is_stopping = False

    @property
    def watched_version_count(self) -> int:
        """Versions that are, or were, watched and kept loaded."""
        return len(self._loaded)

    def registry_changed(self) -> None:
        """Makes every watcher look again at once: an alias has moved, a version has come."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def watch(self, name: str) -> AsyncIterator[Version]:
        """Yields the version behind a name when it is ready, and again after every change.

        A change is another version behind the name, or another load of the same one.

        Raises:
            InvalidArgument: NAME_INVALID.
            NotFound: MODEL_NOT_FOUND, VERSION_NOT_FOUND or ALIAS_NOT_FOUND, now or later.
            Unavailable: ENGINE_UNAVAILABLE, or SERVING_STOPPING.
            FailedPrecondition: MODEL_LOAD_FAILED.
        """
        seen: tuple[str, int] | None = None
        while not self._is_stopping:
            changed = self._changed
            version = await asyncio.to_thread(self._registry.resolve, name)
            state = (version.name, await self._make_ready(version))
            if state != seen:
                seen = state
                yield version
            await _wait_for(changed, self._poll_seconds)
        raise _stopping()

    async def reload(self, version: Version) -> None:
        """Has a version that is loaded run as it is tuned now; requests that run end normally."""
        if (version.model, version.number) in self._loaded:
            await self._engine.load(version)

    async def unload(self, model_id: str) -> None:
        """Takes a model that has been deleted off the engine."""
        keys = [key for key in self._loaded if key[0] == model_id]
        checks = [self._loaded.pop(key).check for key in keys]
        await asyncio.gather(*(check for check in checks if check), return_exceptions=True)
        await self._engine.unload(model_id)

    async def end_watches_on_stop(self) -> None:
        """Runs until it is cancelled, then ends every watch, which would hold up the drain."""
        try:
            await asyncio.Event().wait()
        finally:
            self._is_stopping = True
            checks = [loaded.check for loaded in self._loaded.values() if loaded.check]
            for check in checks:
                check.cancel()
            self.registry_changed()

    async def _make_ready(self, version: Version) -> int:
        """Returns how often the version has been loaded, once it is ready.

        Watchers share the check: one that leaves does not end it for the others.
        """
        loaded = self._loaded.setdefault((version.model, version.number), _Loaded())
        if loaded.check is None or loaded.check.done():
            loaded.check = asyncio.create_task(self._check(version, loaded))
            loaded.check.add_done_callback(_take_note)
        check = loaded.check  # another watcher may begin the next one before this one goes on
        await asyncio.wait([check])
        if check.cancelled():
            raise _stopping()
        check.result()
        return loaded.load_count

    async def _check(self, version: Version, loaded: _Loaded) -> None:
        with deadlines.lifted():  # the watcher that began it may leave, the others want it still
            if not await self._engine.is_ready(version):
                await self._engine.load(version)
                loaded.load_count += 1


def _stopping() -> Unavailable:
    return Unavailable("SERVING_STOPPING", "The serving service is stopping; watch again.")


def _take_note(check: asyncio.Task[None]) -> None:
    """Marks the failure of a check as seen, for when its watchers have gone."""
    if not check.cancelled():
        check.exception()


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
