"""What is loaded on the engine for whom, and keeping it loaded."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from shoal_common import deadlines
from shoal_core.errors import ShoalError, Unavailable
from shoal_serving.registry import Registry, Version

logger = logging.getLogger(__name__)


class Engine(Protocol):
    """What deployments need of the engine."""

    async def is_ready(self, version: Version) -> bool:
        """Whether it can infer with this version now; waits a bounded time for an engine."""
        ...

    async def load(self, version: Version) -> None:
        """Loads a version and returns when it is ready."""
        ...

    async def unload_version(self, version: Version) -> None:
        """Unloads one version; requests that run end normally."""
        ...

    async def unload(self, model_id: str) -> None:
        """Unloads every version of a model."""
        ...


@dataclass(eq=False)
class _Loaded:
    """One version on the engine, as its watchers share it."""

    version: Version
    load_count: int = 0
    """Loads so far; watchers tell by it that the engine has come back."""
    check: asyncio.Task[None] | None = None
    """The check, and load where needed, that runs now or ran last."""
    watcher_count: int = 0
    """Watchers that were told of it, or are about to be."""
    left_s: float = 0.0
    """When the last of them left, by the event loop's clock."""


class Deployments:
    """Loads versions that are watched, once for all watchers, and again after a restart."""

    def __init__(
        self, *, registry: Registry, engine: Engine, poll_seconds: float, grace_seconds: float
    ) -> None:
        """Takes the time between two looks at things, and that before a version is unloaded."""
        self._registry = registry
        self._grace_seconds = grace_seconds
        self._engine = engine
        self._poll_seconds = poll_seconds
        self._loaded: dict[tuple[str, int], _Loaded] = {}
        self._changed = asyncio.Event()
        self._is_stopping = False

    @property
    def watched_version_count(self) -> int:
        """Versions that are watched, or were within the grace, and kept loaded."""
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
        held: list[_Loaded] = []
        try:
            while not self._is_stopping:
                changed = self._changed
                version = await asyncio.to_thread(self._registry.resolve, name)
                loaded = self._hold(version, held)
                state = (version.name, await self._make_ready(loaded))
                if state != seen:
                    seen = state
                    yield version
                    # Whoever watches knows now: nothing new is asked of what was before.
                    _let_go(held[:-1])
                    del held[:-1]
                await _wait_for(changed, self._poll_seconds)
        finally:
            _let_go(held)
        raise _stopping()

    async def unload_left(self) -> None:
        """Unloads what nobody has watched for the grace period; never returns."""
        while True:
            await asyncio.sleep(self._poll_seconds)
            latest_s = asyncio.get_running_loop().time() - self._grace_seconds
            for key, loaded in list(self._loaded.items()):
                if loaded.watcher_count == 0 and loaded.left_s <= latest_s:
                    del self._loaded[key]
                    await self._unload_version(loaded.version)

    async def _unload_version(self, version: Version) -> None:
        try:
            await self._engine.unload_version(version)
        except ShoalError as error:
            logger.warning("%s stays on the engine: %s", version.name, error.message)

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

    def _hold(self, version: Version, held: list[_Loaded]) -> _Loaded:
        """Returns the version as its watchers share it; it stays while it is in `held`."""
        loaded = self._loaded.setdefault((version.model, version.number), _Loaded(version))
        if loaded not in held[-1:]:
            loaded.watcher_count += 1
            held.append(loaded)
        return loaded

    async def _make_ready(self, loaded: _Loaded) -> int:
        """Returns how often a version has been loaded, once it is ready.

        Watchers share the check: one that leaves does not end it for the others.
        """
        if loaded.check is None or loaded.check.done():
            loaded.check = asyncio.create_task(self._check(loaded.version, loaded))
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


def _let_go(held: Sequence[_Loaded]) -> None:
    for loaded in held:
        loaded.watcher_count -= 1
        loaded.left_s = asyncio.get_running_loop().time()


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
