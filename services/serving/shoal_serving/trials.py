"""Versions as they are tried: under names of their own, seen and loaded by nobody else."""

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from shoal_common import deadlines
from shoal_common.inference.client import InferenceClient
from shoal_common.inference.tuning import TUNING_FILE, Tuning
from shoal_core.errors import FailedPrecondition
from shoal_serving.engine_control import EngineControl
from shoal_serving.model_names import TRIAL_PREFIX
from shoal_serving.registry import Registry, Version

TRIAL_VERSION = "1"


class Trials:
    """Puts versions on the engine with another tuning than their own, for a while."""

    def __init__(
        self,
        *,
        registry: Registry,
        client: InferenceClient,
        engine: EngineControl,
        is_possible: bool,
    ) -> None:
        """Removes what a crash has left; versions can be tried where the engine reads them."""
        self._is_possible = is_possible
        self._registry = registry
        self._client = client
        self._engine = engine
        for left in registry.repository.glob(f"{TRIAL_PREFIX}*"):
            shutil.rmtree(left)

    def check(self) -> None:
        """Does nothing where versions can be tried.

        Raises:
            FailedPrecondition: TUNING_UNSUPPORTED on Triton.
        """
        if not self._is_possible:
            raise FailedPrecondition(
                "TUNING_UNSUPPORTED",
                "Models on Triton run as they were when they were loaded; tune and compare them on "
                "an ensemble with the embedded engine on this machine.",
            )

    @asynccontextmanager
    async def loaded(
        self, version: Version, tuning: Tuning, networks: Mapping[str, Path]
    ) -> AsyncIterator[str]:
        """Gives the name that the engine has the version under, as TRIAL_VERSION.

        Args:
            version: A version of the registry.
            tuning: What its networks are to run in.
            networks: Files that it needs beside its own, by name.

        Raises:
            FailedPrecondition: TUNING_UNSUPPORTED on Triton.
            NotFound: MODEL_NOT_FOUND or VERSION_NOT_FOUND when it has been deleted meanwhile.
            ShoalError: What the engine says, for example that it cannot load it.
        """
        self.check()
        trial = f"{TRIAL_PREFIX}{uuid.uuid4().hex}"
        folder = self._registry.repository / trial
        try:
            await asyncio.to_thread(self._fill, folder, version, tuning, networks)
            await self._client.load_model(trial, TRIAL_VERSION)
            yield trial
        finally:
            await asyncio.shield(self._end(trial, folder))

    def _fill(
        self, folder: Path, version: Version, tuning: Tuning, networks: Mapping[str, Path]
    ) -> None:
        self._registry.resolve(version.name)  # it may have been deleted meanwhile
        staged = self._registry.new_workspace()
        try:
            for source in self._registry.folder(version).iterdir():
                if source.name not in {TUNING_FILE, *networks}:
                    (staged / source.name).hardlink_to(source)
            for name, network in networks.items():
                (staged / name).hardlink_to(network)
            (staged / TUNING_FILE).write_text(tuning.to_json())
            folder.mkdir()
            staged.rename(folder / TRIAL_VERSION)
        finally:
            self._registry.discard(staged)

    async def _end(self, trial: str, folder: Path) -> None:
        try:
            with deadlines.lifted():
                await self._engine.unload(trial)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
