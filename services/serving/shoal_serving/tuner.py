"""Which backend each network of a version runs in: measured on the engine, on real frames.

Every trial is the whole model on the engine, with one network in another backend. One that finds
the same as float32 (see `agreement`) and takes less time is kept while the next network is tried,
so that the last one kept is the tuned model as a whole, compared and timed.

Axis legend: F frames, H W pixels, C channels.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from shoal_common.inference.chain import CHAIN_FILE, Chain
from shoal_common.inference.client import InferenceClient
from shoal_common.inference.contract import Parity
from shoal_common.inference.tuning import (
    ANY_PROCESSOR,
    BACKENDS,
    REFERENCE_BACKEND,
    Backend,
    Trial,
    Tuning,
    quantized_file,
)
from shoal_core.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, ShoalError
from shoal_core.pose import FramePoses
from shoal_serving.agreement import Disagreement, agreement
from shoal_serving.conversion import Conversion
from shoal_serving.registry import Registry, Version
from shoal_serving.trial_runs import Frames, TrialRuns, check_frames
from shoal_serving.trials import TRIAL_VERSION, Trials

_LEAST_GAIN = 0.03
"""Part of the time that a backend must save: less is within the noise of measuring."""
_INT8: Backend = "openvino-int8"


class Tuner:
    """Tunes versions, one after another: timings beside another tuning say nothing."""

    def __init__(
        self,
        *,
        registry: Registry,
        client: InferenceClient,
        trials: Trials,
        quantization: Conversion,
    ) -> None:
        """Takes the registry, the engine, and the child that makes INT8 networks."""
        self._registry = registry
        self._client = client
        self._trials = trials
        self._quantization = quantization
        self._turn = asyncio.Lock()

    async def tune(self, version: Version, frames_FHWC: Frames) -> Version:
        """Chooses the fastest backend that passes the gate, for each network; returns the version.

        Raises:
            NotFound: MODEL_NOT_FOUND or VERSION_NOT_FOUND when it has been deleted meanwhile.
            FailedPrecondition: TUNING_UNSUPPORTED by Triton; CENTROIDS_NEEDED of a model that
                runs on given centroids;
                NOTHING_TO_COMPARE when no animal is in the frames; NOTHING_TO_CALIBRATE.
            ShoalError: What the engine or the quantisation says.
        """
        self._trials.check()
        check_frames(version, frames_FHWC)
        async with self._turn:
            workspace = await asyncio.to_thread(self._registry.new_workspace)
            try:
                networks = await self._quantized(version, frames_FHWC, workspace)
                race = _Race(self._client, self._trials, version, frames_FHWC, networks)
                tuning = await race.run(self._network_names(version))
                return await self._set(version, tuning, networks)
            except ShoalError:
                # Where it was deleted meanwhile, that is the reason.
                await asyncio.to_thread(self._registry.resolve, version.name)
                raise
            finally:
                await asyncio.to_thread(self._registry.discard, workspace)

    async def pin(self, version: Version, backend: Backend) -> Version:
        """Runs every network of a version in one backend, on any processor; returns the version.

        Raises:
            FailedPrecondition: TUNING_UNSUPPORTED by Triton; MODEL_LOAD_FAILED when the engine
                cannot run it so; INT8 needs the networks of an earlier `tune`.
        """
        self._trials.check()
        async with self._turn:
            tuning = Tuning(ANY_PROCESSOR, dict.fromkeys(self._network_names(version), backend))
            async with self._trials.loaded(version, tuning, {}):
                pass
            return await asyncio.to_thread(self._registry.set_tuning, version, tuning, {})

    def _network_names(self, version: Version) -> dict[str, str]:
        """Returns the file of each network by the name of its step."""
        chain = Chain.from_json((self._registry.folder(version) / CHAIN_FILE).read_text())
        return {step.name: step.file for step in chain.steps if step.kind == "body"}

    async def _quantized(
        self, version: Version, frames_FHWC: Frames, workspace: Path
    ) -> dict[str, Path]:
        frames_file = workspace / "frames.npy"
        await asyncio.to_thread(np.save, frames_file, frames_FHWC)
        folder = workspace / "networks"
        await self._quantization.run([self._registry.folder(version), frames_file], folder)
        return {path.name: path for path in folder.iterdir()}

    async def _set(self, version: Version, tuning: Tuning, networks: Mapping[str, Path]) -> Version:
        files = self._network_names(version)
        wanted = {
            quantized_file(files[step]) for step, used in tuning.backends.items() if used == _INT8
        }
        contents = {name: await asyncio.to_thread(networks[name].read_bytes) for name in wanted}
        return await asyncio.to_thread(self._registry.set_tuning, version, tuning, contents)


class _Race:
    """The trials of one version."""

    def __init__(
        self,
        client: InferenceClient,
        trials: Trials,
        version: Version,
        frames_FHWC: Frames,
        networks: Mapping[str, Path],
    ) -> None:
        self._client = client
        self._trials = trials
        self._version = version
        self._frame_count = len(frames_FHWC)
        self._runs = TrialRuns(client, version.contract, frames_FHWC)
        self._networks = networks
        self._expected: list[FramePoses] = []
        self._processor = ""

    async def run(self, steps: Iterable[str]) -> Tuning:
        """Returns the tuning that won."""
        kept = dict.fromkeys(steps, REFERENCE_BACKEND)
        best_ms = await self._time_reference(kept)
        trials: list[Trial] = []
        for step in kept:
            trials.append(Trial(step, REFERENCE_BACKEND, best_ms, 0.0, 0.0))
            rivals = [
                await self._trial(step, backend, kept)
                for backend in BACKENDS
                if backend != REFERENCE_BACKEND
            ]
            trials += rivals
            passed = {
                trial.frame_ms: trial.backend
                for trial in rivals
                if trial.frame_ms is not None and not trial.refusal
            }
            frame_ms = min(passed, default=best_ms)
            if frame_ms < best_ms * (1 - _LEAST_GAIN):
                kept[step], best_ms = passed[frame_ms], frame_ms
        return Tuning(self._processor, kept, tuple(trials))

    async def _time_reference(self, backends: Mapping[str, Backend]) -> float:
        reference = Tuning(ANY_PROCESSOR, backends)
        async with self._trials.loaded(self._version, reference, {}) as trial:
            self._processor = await self._client.processor(trial, TRIAL_VERSION)
            self._expected = await self._runs.poses(trial)
            if not any(poses.instance_count for poses in self._expected):
                raise FailedPrecondition(
                    "NOTHING_TO_COMPARE",
                    f"The model finds no animal in the {self._frame_count} frames; give "
                    "frames with animals.",
                )
            return await self._runs.frame_ms(trial)

    async def _trial(self, step: str, backend: Backend, kept: Mapping[str, Backend]) -> Trial:
        """Returns how a backend does for one network, beside those kept for others."""
        outcome = Trial(step, backend, None)
        tuning = Tuning(ANY_PROCESSOR, {**kept, step: backend})
        try:
            async with self._trials.loaded(self._version, tuning, self._networks) as trial:
                found = await self._runs.poses(trial)
                outcome = replace(outcome, frame_ms=await self._runs.frame_ms(trial))
                parity = agreement(self._expected, found, self._version.contract.classes)
                return _with_parity(outcome, parity)
        except Disagreement as disagreement:
            refused = replace(outcome, refusal=f"it {disagreement.problem}")
            return _with_parity(refused, disagreement.parity)
        except (FailedPrecondition, InvalidArgument, ResourceExhausted) as error:
            if error.reason == "ENGINE_BUSY":
                raise  # that says nothing about the backend
            return replace(outcome, refusal=error.message)


def check_backend(name: str) -> Backend:
    """Returns the backend of that name.

    Raises:
        InvalidArgument: BACKEND_UNKNOWN.
    """
    for backend in BACKENDS:
        if backend == name:
            return backend
    raise InvalidArgument(
        "BACKEND_UNKNOWN", f"There is no backend {name!r}; choose one of {', '.join(BACKENDS)}."
    )


def _with_parity(trial: Trial, parity: Parity | None) -> Trial:
    if parity is None:
        return trial
    return replace(trial, median_px=parity.median_px, p99_px=parity.p99_px)
