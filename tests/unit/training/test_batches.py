import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

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
    thread_count: int = 1,
) -> Batches:
    return Batches(samples, kind, plan, augment=augment, thread_count=thread_count)


def drawn(batches: list[Batch]) -> list[float]:
    """Returns where the thorax of each sample is, which says which sample it is."""
    return [float(x) for batch in batches for x in batch.points_BIN2[:, 0, 1, 0]]


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(a.images_BCHW, b.images_BCHW)
        and np.array_equal(a.points_BIN2, b.points_BIN2)
        for a, b in zip(first, second, strict=True)
    )


def test_an_epoch_is_the_same_whatever_the_number_of_threads(samples: SampleSource) -> None:
    plan = replace(PLAN, min_batches=9, with_others=True)
    alone = list(batches(samples, plan, noisy).epoch(2))
    together = list(batches(samples, plan, noisy, thread_count=4).epoch(2))
    assert same(alone, together)


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


@pytest.mark.parametrize("thread_count", [1, 3])
def test_an_error_in_a_thread_comes_out_and_no_thread_stays(
    samples: SampleSource, thread_count: int
) -> None:
    def failing(sample: Sample, rng: np.random.Generator, other: Sample | None = None) -> Sample:
        raise ValueError("the lens cap is on")

    with pytest.raises(ValueError, match="lens cap"):
        list(batches(samples, augment=failing, thread_count=thread_count).epoch(0))
    assert not loader_threads()


def test_an_epoch_that_is_left_early_leaves_no_thread(samples: SampleSource) -> None:
    epoch = batches(samples, replace(PLAN, min_batches=50), thread_count=3).epoch(0)
    next(epoch)
    assert loader_threads()
    epoch.close()  # type: ignore[attr-defined]  # a generator
    assert not loader_threads()


def test_threads_do_not_run_far_ahead(samples: SampleSource) -> None:
    made: list[int] = []

    def counting(sample: Sample, rng: np.random.Generator, other: Sample | None = None) -> Sample:
        made.append(1)
        return sample

    plan = replace(PLAN, min_batches=100)
    epoch = batches(samples, plan, counting, thread_count=2).epoch(0)
    next(epoch)
    epoch.close()  # type: ignore[attr-defined]  # a generator
    assert len(made) <= (2 * 2 + 1) * PLAN.batch_size


def test_batches_are_padded_to_the_most_animals() -> None:
    image = np.zeros((8, 8, 1), np.uint8)
    few, many = (
        Sample(image, np.ones((count, 3, 2), np.float32), np.zeros(count, np.int64))
        for count in (1, 3)
    )
    batch = collate([few, many])
    assert batch.points_BIN2.shape == (2, 3, 3, 2)
    assert batch.points_BIN2[0, 1:].isnan().all()
    assert batch.classes_BI.tolist() == [[0, NO_CLASS, NO_CLASS], [0, 0, 0]]


def loader_threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("batches")]
