"""Segments cover a range exactly once; the same work has the same name."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.common.v1 import parameters_pb2, video_pb2
from shoal.jobs.v1 import jobs_pb2
from shoal_common.frame_ranges import range_messages
from shoal_core.errors import InvalidArgument, OutOfRange
from shoal_core.frame_runs import Runs, frame_count, merged, within
from shoal_orchestrator.convert import new_track_job
from shoal_orchestrator.planning import (
    MAX_RUN_COUNT,
    TRACK_JOB,
    content_id,
    cut_segments,
    resolve_runs,
)
from shoal_orchestrator.records import FrameSpan, NewJob, TaskKind

ONE_RUN = st.tuples(st.integers(0, 5000), st.integers(1, 20_000)).map(
    lambda pair: (range(pair[0], pair[0] + pair[1]),)
)
SOME_RUNS = (
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 900)), min_size=1, max_size=60)
    .map(lambda pairs: [range(start, start + length) for start, length in pairs])
    .map(merged)
)
RUNS = ONE_RUN | SOME_RUNS
LENGTHS = st.integers(1, 3000)
KEYFRAMES = st.sets(st.integers(0, 25_000), max_size=60).map(lambda frames: sorted({0, *frames}))


def sizes(runs: Runs, segments: list[FrameSpan]) -> list[int]:
    return [len(list(within(runs, segment.start, segment.stop))) for segment in segments]


@given(runs=RUNS, length=LENGTHS, keyframes=KEYFRAMES)
def test_segments_hold_every_chosen_frame_exactly_once(
    runs: Runs, length: int, keyframes: list[int]
) -> None:
    segments = cut_segments(runs, length, keyframes)
    covered = [runs[0].start, *(segment.stop for segment in segments)]
    assert [segment.start for segment in segments] == covered[:-1]
    assert covered[-1] == runs[-1].stop
    assert sum(sizes(runs, segments)) == frame_count(runs)


@given(runs=RUNS, length=LENGTHS, keyframes=KEYFRAMES)
def test_segments_hold_about_as_many_frames_as_asked(
    runs: Runs, length: int, keyframes: list[int]
) -> None:
    counts = sizes(runs, cut_segments(runs, length, keyframes))
    assert all(0 < 2 * count <= 3 * length for count in counts)
    assert all(2 * count >= length for count in counts[:-1])


@given(runs=ONE_RUN, length=LENGTHS, keyframes=KEYFRAMES)
def test_borders_lie_on_keyframes_wherever_one_is_near(
    runs: Runs, length: int, keyframes: list[int]
) -> None:
    reach = length // 4
    for number, segment in enumerate(cut_segments(runs, length, keyframes)[1:], start=1):
        ideal = runs[0].start + number * length
        distances = [abs(frame - ideal) for frame in keyframes]
        nearest = min(distances)
        moved = abs(segment.start - ideal)
        assert moved == (nearest if nearest <= reach else 0)


@given(runs=RUNS, length=LENGTHS, keyframes=KEYFRAMES)
def test_planning_is_deterministic(runs: Runs, length: int, keyframes: list[int]) -> None:
    assert cut_segments(runs, length, keyframes) == cut_segments(runs, length, tuple(keyframes))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([], (range(10),)),
        ([(0, 0)], (range(10),)),
        ([(3, 0)], (range(3, 10),)),
        ([(3, 4)], (range(3, 4),)),
        ([(7, 0), (1, 3)], (range(1, 3), range(7, 10))),
        ([(1, 3), (3, 5), (2, 4)], (range(1, 5),)),
    ],
)
def test_stop_zero_is_the_end(asked: list[tuple[int, int]], expected: Runs) -> None:
    assert resolve_runs(asked, frame_count=10, video="v") == expected


@pytest.mark.parametrize("run", [(0, 11), (10, 0), (10, 11), (5, 5), (6, 5), (-1, 5)])
def test_frames_outside_the_video_are_refused_with_its_length(run: tuple[int, int]) -> None:
    with pytest.raises(OutOfRange, match="which has 10 frames") as caught:
        resolve_runs([(0, 2), run], frame_count=10, video="fly.mp4")
    assert caught.value.reason == "FRAME_OUT_OF_RANGE"
    assert caught.value.metadata["frame_count"] == "10"


def test_more_runs_than_a_job_can_carry_are_refused() -> None:
    most = [(2 * number, 2 * number + 1) for number in range(MAX_RUN_COUNT)]
    assert len(resolve_runs(most, frame_count=10**6, video="v")) == MAX_RUN_COUNT
    with pytest.raises(InvalidArgument, match="10001 runs") as caught:
        resolve_runs([*most, (10**5, 10**5 + 1)], frame_count=10**6, video="v")
    assert caught.value.reason == "FRAMES_INVALID"


@given(st.lists(st.binary(max_size=4), max_size=5), st.lists(st.binary(max_size=4), max_size=5))
def test_different_identities_have_different_ids(one: list[bytes], other: list[bytes]) -> None:
    assert (content_id(TRACK_JOB, one) == content_id(TRACK_JOB, other)) == (one == other)


def spec(change: Callable[[jobs_pb2.TrackJobSpec], None] = lambda _: None) -> jobs_pb2.TrackJobSpec:
    message = jobs_pb2.TrackJobSpec(
        video=video_pb2.Video(uri="/a.mp4", frame_count=100, content_hash="beef"),
        model_version="models/fly/versions/1",
        range=video_pb2.FrameRange(start=0, stop=100),
        inference=parameters_pb2.InferenceParameters(peak_threshold=0.25),
        tracker=parameters_pb2.TrackerParameters(window=parameters_pb2.WindowTrackerParameters()),
    )
    change(message)
    return message


def planned(message: jobs_pb2.TrackJobSpec, segment_frame_count: int = 40) -> NewJob:
    return new_track_job("lab", message, keyframes=[0], segment_frame_count=segment_frame_count)


SHAPING: dict[str, Callable[[jobs_pb2.TrackJobSpec], None]] = {
    "content": lambda s: setattr(s.video, "content_hash", "f00d"),
    "model version": lambda s: setattr(s, "model_version", "models/fly/versions/2"),
    "model content": lambda s: setattr(s, "model_content_hash", "f00d"),
    "start": lambda s: setattr(s.range, "start", 1),
    "stop": lambda s: setattr(s.range, "stop", 99),
    "gaps": lambda s: s.ranges.extend(range_messages([range(3), range(9, 100)])),
    "samples": lambda s: setattr(s.inference.part_grouping, "n_points", 5),
    "classes": lambda s: setattr(s.inference.class_grouping, "only_best_class", True),
    "filters": lambda s: setattr(s.inference.filters, "min_visible_nodes", 1),
    "inference": lambda s: setattr(s.inference, "peak_threshold", 0.3),
    "grouping": lambda s: setattr(s.inference.part_grouping, "min_line_scores", 0.1),
    "tracker parameter": lambda s: setattr(s.tracker.window, "max_tracks", 2),
    "no tracker": lambda s: s.ClearField("tracker"),
    "centroids": lambda s: setattr(s, "centroids_label_set", "projects/lab/labelSets/c"),
}


@pytest.mark.parametrize("change", SHAPING.values(), ids=SHAPING.keys())
def test_whatever_shapes_the_result_shapes_the_name(
    change: Callable[[jobs_pb2.TrackJobSpec], None],
) -> None:
    assert planned(spec(change)).name != planned(spec()).name


def test_name_follows_the_content_and_not_the_place_or_the_segments() -> None:
    moved = spec(lambda s: setattr(s.video, "uri", "/b.mp4"))
    assert planned(moved, segment_frame_count=7).name == planned(spec()).name


def test_video_without_a_content_hash_is_no_job() -> None:
    with pytest.raises(ValueError, match="no content hash"):
        planned(spec(lambda s: s.video.ClearField("content_hash")))


def test_tracked_job_infers_into_poses_and_links_into_the_result() -> None:
    job = planned(spec())
    *segments, link = job.tasks
    job_id = job.name.rsplit("/", 1)[-1]
    assert job.name == f"projects/lab/jobs/{job_id}"
    assert job.result_label_set == f"projects/lab/labelSets/{job_id}"
    assert {task.result_label_set for task in segments} == {f"{job.result_label_set}-poses"}
    assert (link.kind, link.span) == (TaskKind.LINK, FrameSpan(0, 100))
    assert link.source_label_set == f"{job.result_label_set}-poses"
    assert link.result_label_set == job.result_label_set
    assert link.stage > max(task.stage for task in segments)


def test_job_without_a_tracker_infers_into_the_result() -> None:
    job = planned(spec(lambda s: s.ClearField("tracker")))
    assert {task.kind for task in job.tasks} == {TaskKind.INFER_SEGMENT}
    assert {task.result_label_set for task in job.tasks} == {job.result_label_set}
