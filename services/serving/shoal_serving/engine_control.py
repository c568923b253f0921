"""What deployments ask of the engine, with patience for one that is not there yet."""

import asyncio
import logging

from shoal_common.inference.client import InferenceClient
from shoal_core.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    NotFound,
    ShoalError,
    Unavailable,
)
from shoal_serving.engine_layout import EngineLayout
from shoal_serving.registry import Version

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 0.1


class EngineControl:
    """Loads and unloads models of the registry on one engine."""

    def __init__(
        self, client: InferenceClient, layout: EngineLayout, *, target: str, wait_seconds: float
    ) -> None:
        """Takes a client of the engine at `target`, and the time that it has to come up."""
        self._client = client
        self._layout = layout
        self._target = target
        self._wait_seconds = wait_seconds

    async def is_ready(self, version: Version) -> bool:
        """Whether the engine can infer with this version now.

        Raises:
            Unavailable: ENGINE_UNAVAILABLE when no engine answers in time.
        """
        place = self._layout.place(version)
        try:
            async with asyncio.timeout(self._wait_seconds):
                while True:
                    try:
                        return await self._client.model_ready(place.model, place.version)
                    except NotFound:
                        return False
                    except Unavailable:
                        await asyncio.sleep(_RETRY_SECONDS)  # it goes down, or comes up
        except TimeoutError as error:
            raise self._unavailable() from error

    async def load(self, version: Version) -> None:
        """Loads a version and returns when it is ready.

        Raises:
            Unavailable: ENGINE_UNAVAILABLE when the engine goes away or hangs meanwhile.
            FailedPrecondition: MODEL_LOAD_FAILED when it refuses the model.
        """
        place = self._layout.place(version)
        await asyncio.to_thread(self._layout.prepare, version)
        try:
            await self._client.load_model(place.model, place.load_version)
        except (Unavailable, DeadlineExceeded) as error:
            raise self._gone(version) from error
        except ShoalError as error:
            raise _load_failed(version, error.message) from error
        if not await self.is_ready(version):
            raise self._gone(version)  # what answers now has loaded nothing: it is another one

    async def unload_version(self, version: Version) -> None:
        """Unloads one version; an engine that does not run has nothing to unload.

        Raises:
            ShoalError: What the engine answered.
        """
        place = self._layout.place(version)
        try:
            await self._client.unload_model(place.model, place.load_version)
        except (Unavailable, NotFound) as error:
            logger.info("nothing to unload of %s: %s", version.name, error.message)

    async def unload(self, model_id: str) -> None:
        """Unloads every version of a model; an engine that does not run has nothing to unload.

        Raises:
            ShoalError: What the engine answered.
        """
        try:
            for model in self._layout.models(model_id):
                await self._client.unload_model(model)
        except (Unavailable, NotFound) as error:
            logger.info("nothing to unload of %s: %s", model_id, error.message)
        finally:
            await asyncio.to_thread(self._layout.remove, model_id)

    def _gone(self, version: Version) -> Unavailable:
        return Unavailable(
            "ENGINE_UNAVAILABLE",
            f"The engine at {self._target} went away while it loaded version {version.number} of "
            f"model {version.model!r}; see its log.",
            engine_target=self._target,
        )

    def _unavailable(self) -> Unavailable:
        return Unavailable(
            "ENGINE_UNAVAILABLE",
            f"No engine answered at {self._target} within {self._wait_seconds:g} s; start it, or "
            "set another engine_target.",
            engine_target=self._target,
        )


def _load_failed(version: Version, why: str) -> FailedPrecondition:
    return FailedPrecondition(
        "MODEL_LOAD_FAILED",
        f"The engine cannot load version {version.number} of model {version.model!r}: {why}",
        model=version.model,
        version=version.number,
    )
