from pathlib import Path

import numpy as np
import pytest

from shoal_core.errors import InvalidArgument
from shoal_core.skeleton import Skeleton
from shoal_training.config import SplitConfig
from shoal_training.labelled_set import LabelledFrame, LabelledSet, read_labelled_set
from shoal_training.labelled_video import LabelledVideo
from shoal_training.splits import Split, draw_split, read_split, write_split
from tests.fakes.labelled_folder import animal, write_labels

NO_ANIMAL = np.zeros((0, 1, 2), np.float32)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledVideo]:
    """Four recordings, the last of which is the first one once more."""
    folder = tmp_path_factory.mktemp("videos")
    for name, x in (("a", 20.0), ("b", 25.0), ("c", 30.0)):
        write_labels(folder, {0: [animal(x, 20)]}, name=f"{name}.slp", video=name)
    return [LabelledVideo(folder / name, name) for name in ("a", "b", "c", "a")]


def labelled(videos: list[LabelledVideo], *video_indices: int) -> LabelledSet:
    frames = [
        LabelledFrame(index, number, NO_ANIMAL, np.zeros(0, np.int64))
        for number, index in enumerate(video_indices)
    ]
    return LabelledSet(skeleton=Skeleton("s", ("n",)), classes=(), videos=videos, frames=frames)


def drawn(frames: LabelledSet, *, limit: int | None = None, **config: object) -> Split:
    return draw_split(
        frames,
        SplitConfig(**config),  # type: ignore[arg-type]
        candidates=range(len(frames.frames)),
        limit=limit,
    )


@pytest.mark.parametrize(
    ("count", "fractions", "sizes"),
    [
        (100, (0.1, 0.0), (90, 10, 0)),
        (100, (0.1, 0.1), (80, 10, 10)),
        (116, (0.05, 0.0), (110, 6, 0)),
        (4, (0.1, 0.1), (2, 1, 1)),
        (2, (0.1, 0.0), (1, 1, 0)),
        (2, (0.1, 0.1), (1, 0, 1)),
        (1, (0.1, 0.1), (1, 0, 0)),
        (9, (0.0, 0.0), (9, 0, 0)),
    ],
)
def test_fractions_decide_the_sizes(
    videos: list[LabelledVideo],
    count: int,
    fractions: tuple[float, float],
    sizes: tuple[int, int, int],
) -> None:
    split = drawn(
        labelled(videos, *[0] * count), validation_fraction=fractions[0], test_fraction=fractions[1]
    )
    assert (len(split.training), len(split.validation), len(split.test)) == sizes
    assert sorted(split.training + split.validation + split.test) == list(range(count))


def test_a_split_follows_from_its_seed(videos: list[LabelledVideo]) -> None:
    frames = labelled(videos, *[0] * 50)
    assert drawn(frames, seed=3) == drawn(frames, seed=3)
    assert drawn(frames, seed=3) != drawn(frames, seed=4)


def test_a_limit_leaves_validation_as_it_is_and_nests(videos: list[LabelledVideo]) -> None:
    frames = labelled(videos, *[0] * 50)
    few, more, all_of_them = (drawn(frames, limit=limit) for limit in (5, 20, None))
    assert few.validation == more.validation == all_of_them.validation
    assert set(few.training) < set(more.training) < set(all_of_them.training)
    assert (len(few.training), len(more.training)) == (5, 20)


def test_videos_are_drawn_whole_and_one_in_two_files_is_one(videos: list[LabelledVideo]) -> None:
    of_video = [0, 1, 2, 3] * 5
    frames = labelled(videos, *of_video)
    for seed in range(6):
        split = drawn(frames, by="video", validation_fraction=0.3, test_fraction=0.3, seed=seed)
        recordings = [
            {of_video[index] % 3 for index in part}
            for part in (split.training, split.validation, split.test)
        ]
        assert sorted(map(len, recordings)) == [1, 1, 1]


def test_a_frame_that_is_labelled_twice_is_in_one_part(videos: list[LabelledVideo]) -> None:
    frames = [
        LabelledFrame(video, number, NO_ANIMAL, np.zeros(0, np.int64))
        for video in (0, 3)
        for number in range(10)
    ]
    twice = labelled(videos).with_frames(frames)
    for seed in range(5):
        split = drawn(twice, validation_fraction=0.3, seed=seed)
        assert {index % 10 for index in split.training}.isdisjoint(
            index % 10 for index in split.validation
        )


def test_no_part_shares_a_frame_with_another() -> None:
    with pytest.raises(InvalidArgument):
        Split((0, 1), (1,), ())
    with pytest.raises(InvalidArgument):
        Split((), (1,), ())


def test_a_written_split_reads_back_the_same(tmp_path: Path) -> None:
    split = Split((0, 3), (1,), (2,))
    write_split(split, tmp_path / "split.json")
    assert read_split(tmp_path / "split.json", frame_count=4) == split


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"training": [9], "validation": [], "test": []}']
)
def test_a_split_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(InvalidArgument) as caught:
        read_split(tmp_path / "split.json", frame_count=4)
    assert caught.value.reason == "SPLIT_INVALID"


def test_frames_of_an_embedded_package_are_apart_by_their_dataset(shared_data: Path) -> None:
    with read_labelled_set([shared_data / "pair" / "minimal_instance.pkg.slp"]) as frames:
        assert frames.videos[0].identity[1] == "video0/video"
