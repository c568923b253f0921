from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shoal_core.errors import DataLoss
from shoal_training.batches import Augment, Batch, Batches, BatchPlan, collate
from shoal_training.config import AugmentConfig, DataConfig, ModelKind, TrainingConfig
from shoal_training.labelled_set import NO_CLASS, read_labelled_set
from shoal_training.sample_source import SampleSource
from shoal_training.sample_store import CacheRoom
from shoal_training.samples import Sample
from tests.fakes.labelled_folder import animal, write_labels

STILL = AugmentConfig(rotation_deg=(0, 0), scale=(1, 1))
PLAN = BatchPlan(batch_size=4, seed=5)


@pytest.fixture
def samples(tmp_path: Path) -> Iterator[SampleSource]:
    """Ten samples whose images tell them apart."""
    path = write_labels(tmp_path, {index: [animal(20 + 3 * index, 30)] for index in range(10)})
    config = TrainingConfig(kind="bottomup", data=DataConfig(labels=("a.slp",)))
    with (
        read_labelled_set([path]) as labelled,
        SampleSource(
            labelled, range(10), config, stride=8, augment=STILL, room=CacheRoom(folder=tmp_path)
        ) as source,
    ):
        yield source


def noisy(sample: Sample, rng: np.random.Generator, other: Sample | None = None) -> Sample:
    noise = rng.integers(0, 200, sample.image_HWC.shape).astype(np.uint8)
    return replace(sample, image_HWC=noise)


def unchanged(sample: Sample, rng: np.random.Generator, other: Sample | None = None) -> Sample:
    return sample


def batches(
    samples: SampleSource,
    plan: BatchPlan = PLAN,
    augment: Augment | None = unchanged,
    *,
    kind: ModelKind = "bottomup",
    worker_count: int = 1,
) -> Batches:
    return Batches(samples, kind, plan, augment=augment, worker_count=worker_count)


def drawn(batches: list[Batch]) -> list[float]:
    """Returns where the thorax of each sample is, which says which sample it is."""
    return [float(x) for batch in batches for x in batch.points_BIN2[:, 0, 1, 0]]


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(a.images_BCHW, b.images_BCHW)
        and np.array_equal(a.points_BIN2, b.points_BIN2)
        for a, b in zip(first, second, strict=True)
    )


def test_an_epoch_is_the_same_whatever_the_number_of_processes(samples: SampleSource) -> None:
    plan = replace(PLAN, min_batches=9, with_others=True)
    with (
        batches(samples, plan, noisy) as one,
        batches(samples, plan, noisy, worker_count=3) as three,
    ):
        assert same(list(one.epoch(2)), list(three.epoch(2)))


def test_an_epoch_after_one_that_was_left_is_whole(samples: SampleSource) -> None:
    plan = replace(PLAN, min_batches=9)
    with batches(samples, plan, noisy, worker_count=2) as source:
        whole = list(source.epoch(1))
        left = source.epoch(0)
        next(left)
        left.close()
        assert same(whole, list(source.epoch(1)))


def test_epochs_and_seeds_differ(samples: SampleSource) -> None:
    first = list(batches(samples, augment=noisy).epoch(0))
    assert not same(first, list(batches(samples, augment=noisy).epoch(1)))
    assert not same(first, list(batches(samples, replace(PLAN, seed=6), noisy).epoch(0)))


def test_every_position_has_random_numbers_of_its_own(samples: SampleSource) -> None:
    images = [
        image.numpy().tobytes()
        for batch in batches(samples, replace(PLAN, min_batches=20), noisy).epoch(0)
        for image in batch.images_BCHW
    ]
    assert len(set(images)) == len(images) == 80


def test_every_sample_comes_once_before_any_comes_again(samples: SampleSource) -> None:
    plan = replace(PLAN, batch_size=5, min_batches=6)
    thoraces = drawn(list(batches(samples, plan).epoch(0)))
    assert len(thoraces) == 30
    for turn in range(3):
        assert len(set(thoraces[10 * turn : 10 * turn + 10])) == 10
    assert thoraces[:10] != thoraces[10:20]


def test_small_sets_are_gone_through_several_times_an_epoch(samples: SampleSource) -> None:
    source = batches(samples, replace(PLAN, min_batches=7))
    assert source.batches_per_epoch == len(list(source.epoch(0))) == 7
    assert batches(samples).batches_per_epoch == 3


def test_validation_sees_every_sample_once_in_order(samples: SampleSource) -> None:
    whole = list(batches(samples, replace(PLAN, min_batches=9), None).epoch(0))
    assert [len(batch.images_BCHW) for batch in whole] == [4, 4, 2]
    assert drawn(whole) == sorted(drawn(whole))
    assert same(whole, list(batches(samples, augment=None).epoch(7)))


def test_processes_share_the_batches_of_one(samples: SampleSource) -> None:
    alone = list(batches(samples, replace(PLAN, min_batches=8), noisy).epoch(1))
    shares = [
        list(
            batches(samples, replace(PLAN, min_batches=8, rank=rank, process_count=2), noisy).epoch(
                1
            )
        )
        for rank in (0, 1)
    ]
    assert [len(share) for share in shares] == [4, 4]
    assert same(alone, [batch for pair in zip(*shares, strict=True) for batch in pair])


def test_all_processes_have_equally_many_batches(samples: SampleSource) -> None:
    for augment in (unchanged, None):
        shares = [
            batches(samples, replace(PLAN, rank=rank, process_count=2), augment) for rank in (0, 1)
        ]
        assert [len(list(share.epoch(0))) for share in shares] == [2, 2]


def test_centroid_models_learn_centroids(samples: SampleSource) -> None:
    batch = next(iter(batches(samples, augment=None, kind="centroid").epoch(0)))
    assert batch.points_BIN2.shape == (4, 1, 1, 2)
    assert batch.points_BIN2[0, 0, 0].tolist() == [21.0, 29.5]  # middle of the box


def test_the_help_of_another_sample_comes_where_it_is_asked_for(samples: SampleSource) -> None:
    def with_help(sample: Sample, rng: np.random.Generator, other: Sample | None = None) -> Sample:
        return sample if other is None else replace(sample, points_px_IN2=other.points_px_IN2)

    helped = replace(PLAN, with_others=True)
    assert drawn(list(batches(samples, helped, with_help).epoch(0))) != drawn(
        list(batches(samples, PLAN, with_help).epoch(0))
    )


def test_an_error_in_a_process_comes_out(samples: SampleSource) -> None:
    def failing(sample: Sample, rng: np.random.Generator, other: Sample | None = None) -> Sample:
        raise DataLoss("FRAME_UNREADABLE", "The lens cap is on.", frame_index=3)

    with (
        batches(samples, augment=failing, worker_count=2) as source,
        pytest.raises(DataLoss, match="lens cap") as caught,
    ):
        list(source.epoch(0))
    assert (caught.value.reason, caught.value.metadata) == (
        "FRAME_UNREADABLE",
        {"frame_index": "3"},
    )


def test_uncached_frames_are_read_by_every_process(tmp_path: Path) -> None:
    path = write_labels(tmp_path, {index: [animal(20 + 3 * index, 30)] for index in range(10)})
    data = DataConfig(labels=("a.slp",), cache="none")
    room = CacheRoom(folder=tmp_path)
    config = TrainingConfig(kind="bottomup", data=data)
    with (
        read_labelled_set([path]) as labelled,
        SampleSource(labelled, range(10), config, stride=8, augment=STILL, room=room) as source,
        batches(source, replace(PLAN, min_batches=12), worker_count=3) as together,
        batches(source, replace(PLAN, min_batches=12)) as alone,
    ):
        source.sample(0)  # opens the video here
        assert same(list(together.epoch(0)), list(alone.epoch(0)))


def test_batches_are_padded_to_the_most_animals() -> None:
    image = np.zeros((8, 8, 1), np.uint8)
    few, many = (
        Sample(image, np.ones((count, 3, 2), np.float32), np.zeros(count, np.int64))
        for count in (1, 3)
    )
    batch = collate([few, many])
    assert batch.points_BIN2.shape == (2, 3, 3, 2)
    assert np.isnan(batch.points_BIN2[0, 1:]).all()
    assert batch.classes_BI.tolist() == [[0, NO_CLASS, NO_CLASS], [0, 0, 0]]
