"""Label stores and poses to put into them."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from shoal_core.skeleton import Skeleton
from shoal_labels.columns import PoseColumns
from shoal_labels.label_sets import LabelSet, LabelSetKey, Video
from shoal_labels.manifest import Manifest
from shoal_labels.store import LabelStore

NODES = ("head", "thorax", "tail")


def random_poses(
    frames: list[int], *, seed: int = 0, node_count: int = len(NODES), user_share: float = 0.0
) -> PoseColumns:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, len(frames)).astype(np.int32)
    total = int(counts.sum())
    points = rng.uniform(-10, 3000, (total, node_count, 2)).astype(np.float32)
    scores = rng.uniform(0, 1.2, (total, node_count)).astype(np.float32)
    missing = rng.random((total, node_count)) < 0.2
    points[missing], scores[missing] = np.nan, 0
    is_user = (rng.random(total) < user_share).astype(np.uint8)
    instance_scores = rng.random(total, dtype=np.float32)
    # What a person made is certain: files of SLEAP hold no scores for it.
    scores[is_user == 1] = ~missing[is_user == 1]
    instance_scores[is_user == 1] = 1
    return PoseColumns(
        frame_indices_F=np.array(frames, np.int64),
        instance_counts_F=counts,
        points_px_MN2=points,
        point_scores_MN=scores,
        instance_scores_M=instance_scores,
        track_indices_M=rng.integers(-1, 3, total).astype(np.int32),
        tracking_scores_M=rng.random(total, dtype=np.float32),
        is_user_M=is_user,
    )


def assert_equal(actual: PoseColumns, expected: PoseColumns) -> None:
    for ours, theirs in zip(actual.arrays(), expected.arrays(), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def concatenate(parts: list[PoseColumns]) -> PoseColumns:
    return PoseColumns(
        *(np.concatenate(arrays) for arrays in zip(*(p.arrays() for p in parts), strict=True))
    )


@pytest.fixture
def poses() -> Callable[..., PoseColumns]:
    return random_poses


@pytest.fixture
def same_poses() -> Callable[[PoseColumns, PoseColumns], None]:
    return assert_equal


@pytest.fixture
def joined() -> Callable[[list[PoseColumns]], PoseColumns]:
    return concatenate


@pytest.fixture
def key() -> LabelSetKey:
    return LabelSetKey("lab", "flies")


@pytest.fixture
def label_set(key: LabelSetKey) -> LabelSet:
    return LabelSet(
        key=key,
        video=Video("/videos/flies.mp4", 5000, 1024, 1024, 1, 150.0, "c0ffee"),
        skeleton=Skeleton("fly", NODES, edges=((1, 0), (1, 2)), symmetries=()),
        track_names=("female", "male"),
        provenance={"model": "m1"},
    )


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LabelStore]:
    folder = tmp_path / "labels"
    folder.mkdir()
    manifest = await Manifest.open(f"sqlite+aiosqlite:///{folder}/labels.db")
    store = LabelStore(manifest=manifest, folder=folder)
    await store.sweep()
    yield store
    await store.close()
