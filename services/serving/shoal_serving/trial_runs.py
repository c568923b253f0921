"""What a version on the engine finds in some frames, and how long it takes.

Axis legend: F frames, H W pixels, C channels.
"""

import asyncio
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_common.inference.client import InferenceClient
from shoal_common.inference.contract import PoseContract
from shoal_common.inference.outputs import poses_of
from shoal_common.inference.settings import InferenceSettings
from shoal_core.errors import FailedPrecondition, InvalidArgument
from shoal_core.pose import FramePoses
from shoal_serving.registry import Version
from shoal_serving.trials import TRIAL_VERSION

_BATCH_FRAMES = 8
_PASSES = 3
_REQUEST_SECONDS = 600.0

Frames = NDArray[np.uint8]
"""[F, H, W, C]."""


class TrialRuns:
    """Runs trials of versions with one contract on the same frames."""

    def __init__(
        self, client: InferenceClient, contract: PoseContract, frames_FHWC: Frames
    ) -> None:
        self._client = client
        self._contract = contract
        self._frames_FHWC = frames_FHWC

    async def poses(self, trial: str) -> list[FramePoses]:
        """Returns the poses of all frames."""
        frames_FHWC = self._frames_FHWC
        poses: list[FramePoses] = []
        for start in range(0, len(frames_FHWC), _BATCH_FRAMES):
            part_FHWC = frames_FHWC[start : start + _BATCH_FRAMES]
            outputs = await self._infer(trial, part_FHWC)
            indices = range(start, start + len(part_FHWC))
            poses += await asyncio.to_thread(
                poses_of,
                *(self._contract, outputs, indices),
                *(frames_FHWC.shape[1:3], InferenceSettings()),
            )
        return poses

    async def frame_ms(self, trial: str) -> float:
        """Returns the time per frame of a batch of the first frames: the best of some."""
        timed_FHWC = self._frames_FHWC[:_BATCH_FRAMES]
        best_s = float("inf")
        for _ in range(_PASSES):
            begun = time.perf_counter()
            await self._infer(trial, timed_FHWC)
            best_s = min(best_s, time.perf_counter() - begun)
        return best_s * 1000 / len(timed_FHWC)

    async def _infer(self, trial: str, frames_FHWC: Frames) -> dict[str, NDArray[Any]]:
        return await self._client.infer(
            trial, TRIAL_VERSION, {"images": frames_FHWC}, timeout_s=_REQUEST_SECONDS
        )


def check_frames(version: Version, frames_FHWC: Frames) -> None:
    """Checks that a version runs on such frames.

    Raises:
        FailedPrecondition: CENTROIDS_NEEDED of a model that runs on given centroids.
        InvalidArgument: FRAMES_INVALID.
    """
    if version.contract.takes_centroids:
        raise FailedPrecondition(
            "CENTROIDS_NEEDED",
            f"Model {version.model!r} runs on given centroids, so that frames alone do not show "
            "how it does; import it together with a centroid model, or pin its backend.",
        )
    shape = frames_FHWC.shape
    if len(shape) != 4 or 0 in shape or shape[3] not in (1, 3) or frames_FHWC.dtype != np.uint8:
        raise InvalidArgument(
            "FRAMES_INVALID",
            f"Frames are {frames_FHWC.dtype} of shape {list(shape)}; send UINT8 [F, H, W, C] of 1 "
            "or 3 channels.",
        )
