"""Batches of samples, made by other processes ahead of the device.

What is in a batch follows from (seed, epoch, position) alone, however many processes there are.
Axis legend: B samples, I instances, N nodes, C channels, H W pixels, 2 = (x, y).
"""

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from shoal_core.coordinates import instance_centroids
from shoal_training.batch_workers import Workers
from shoal_training.config import ModelKind
from shoal_training.labelled_set import NO_CLASS
from shoal_training.sample_source import SampleSource
from shoal_training.samples import Sample


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples of one size, on the processor."""

    images_BCHW: torch.Tensor
    """uint8."""
    points_BIN2: torch.Tensor
    """float32 pixels of the network's input; NaN where a node is not visible, and for the
    instances that a sample has fewer than another. Of centroid models N is 1, the centroid."""
    classes_BI: torch.Tensor
    """int64; NO_CLASS where there is none."""


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """What decides which samples are in which batch."""

    batch_size: int
    """Samples of a batch, in each process."""
    seed: int
    """What all random numbers follow from."""
    min_batches: int = 1
    """Of augmented samples: least batches of an epoch, of all processes together; a small set is
    gone through several times."""
    with_others: bool = False
    """Whether each sample is augmented with the help of another, for `paste_probability`."""
    rank: int = 0
    """Of this process."""
    process_count: int = 1
    """Each takes every so many batches; all take equally many."""


class Augment(Protocol):
    """Changes a sample at random; see `augment`."""

    def __call__(
        self, sample: Sample, rng: np.random.Generator, other: Sample | None = None
    ) -> Sample:
        """Returns the changed sample, of the network's size."""


class _Job(NamedTuple):
    """Which samples of an epoch make a batch."""

    epoch: int
    positions: Sequence[int]
    samples: Sequence[int]


class Batches:
    """All epochs of one split; this process's share of them. `with` ends what prepares them.

    Args:
        source: Where samples come from.
        kind: Of centroid models, nodes become centroids here, after they were augmented.
        plan: Sizes, seed and share.
        augment: Changes each sample. None: samples stay as they are, each comes once an epoch and
            always in the same order, as for validation; the last batch may be smaller. They are
            made when they are asked for.
        worker_count: Processes that augment ahead.
    """

    def __init__(
        self,
        source: SampleSource,
        kind: ModelKind,
        plan: BatchPlan,
        *,
        augment: Augment | None = None,
        worker_count: int = 1,
    ) -> None:
        self._source = source
        self._kind = kind
        self._plan = plan
        self._augment = augment
        self._workers = Workers(self._make, worker_count)
        count = math.ceil(len(source) / plan.batch_size)
        if augment is not None and count:
            count = max(count, plan.min_batches)
        self._count = math.ceil(count / plan.process_count)

    @property
    def batches_per_epoch(self) -> int:
        """How many there are in every epoch, the same in every process."""
        return self._count

    def epoch(self, epoch: int) -> Generator[Batch]:
        """Yields the batches of an epoch, 0 for the first; the same whenever it is asked.

        What goes wrong in a process comes out here.
        """
        jobs = self._jobs(epoch)
        if self._augment is None:
            yield from (_batch(self._make(job)) for job in jobs)
            return
        if not self._workers.are_running:
            self._source.close_videos()  # copies of an open file would share its position
            self._workers.start()
        with closing(self._workers.made(jobs)) as made:
            yield from map(_batch, made)

    def close(self) -> None:
        """Ends the processes."""
        self._workers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _jobs(self, epoch: int) -> Iterator[_Job]:
        """Yields this process's batches, still to be made."""
        passes: dict[int, NDArray[np.intp]] = {}
        plan, length = self._plan, len(self._source)
        for index in range(self._count):
            start = (index * plan.process_count + plan.rank) * plan.batch_size
            stop = start + plan.batch_size
            if self._augment is None and start < length:
                stop = min(stop, length)
            samples = []
            for position in range(start, stop):
                turn = position // length
                if turn not in passes:
                    passes[turn] = self._order(epoch, turn)
                samples.append(int(passes[turn][position % length]))
            yield _Job(epoch, range(start, stop), samples)

    def _order(self, epoch: int, turn: int) -> NDArray[np.intp]:
        """Returns the order of the samples in one of an epoch's passes through them."""
        if self._augment is None:
            return np.arange(len(self._source))
        rng = np.random.default_rng((self._plan.seed, epoch, _ORDER, turn))
        return rng.permutation(len(self._source))

    def _make(self, job: _Job) -> "Arrays":
        return collate(
            [
                self._sample(job.epoch, position, sample)
                for position, sample in zip(job.positions, job.samples, strict=True)
            ]
        )

    def _sample(self, epoch: int, position: int, index: int) -> Sample:
        sample = self._source.sample(index)
        if self._augment is not None:
            rng = np.random.default_rng((self._plan.seed, epoch, _AUGMENTATION, position))
            sample = self._augment(sample, rng, self._other(rng))
        if self._kind != "centroid":
            return sample
        centroids_I2 = instance_centroids(sample.points_px_IN2, self._source.anchor_node)
        return replace(sample, points_px_IN2=centroids_I2[:, None].astype(np.float32))

    def _other(self, rng: np.random.Generator) -> Sample | None:
        if not self._plan.with_others:
            return None
        return self._source.sample(int(rng.integers(len(self._source))))


_ORDER, _AUGMENTATION = 0, 1
"""Streams of random numbers that do not overlap."""


class Arrays(NamedTuple):
    """A batch before it is made of tensors, which other processes could not hand over."""

    images_BCHW: NDArray[np.uint8]
    points_BIN2: NDArray[np.float32]
    classes_BI: NDArray[np.int64]


def collate(samples: Sequence[Sample]) -> Arrays:
    """Returns the batch of samples of one size.

    Instances are padded with NaN and NO_CLASS to the largest number.
    """
    images_BHWC = np.stack([sample.image_HWC for sample in samples])
    count = max(len(sample.points_px_IN2) for sample in samples)
    node_count = samples[0].points_px_IN2.shape[1]
    points_BIN2 = np.full((len(samples), count, node_count, 2), np.nan, np.float32)
    classes_BI = np.full((len(samples), count), NO_CLASS, np.int64)
    for row, sample in enumerate(samples):
        points_BIN2[row, : len(sample.points_px_IN2)] = sample.points_px_IN2
        classes_BI[row, : len(sample.class_indices_I)] = sample.class_indices_I
    return Arrays(np.ascontiguousarray(images_BHWC.transpose(0, 3, 1, 2)), points_BIN2, classes_BI)


def _batch(arrays: Arrays) -> Batch:
    return Batch(*map(torch.from_numpy, arrays))
