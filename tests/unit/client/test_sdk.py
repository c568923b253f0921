"""The SDK against servicers over a real socket."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import shoal_client
from shoal.common.v1 import parameters_pb2
from shoal.jobs.v1 import jobs_pb2
from shoal_client import (
    ClassGrouping,
    Health,
    InferenceParameters,
    InstanceFilters,
    JobState,
    PartGrouping,
    Shoal,
    Targets,
    WindowTracker,
    check_health,
)
from shoal_core.errors import InvalidArgument, NotFound, Unavailable

from .fakes import FakeEnsemble, job, served


@pytest.fixture
def fake() -> FakeEnsemble:
    return FakeEnsemble()


@pytest.fixture
def shoal(fake: FakeEnsemble, tmp_path: Path) -> Iterator[Shoal]:
    with served(fake, tmp_path) as targets, Shoal.connect(targets) as connected:
        yield connected


def test_exported_names_are_these() -> None:
    assert sorted(shoal_client.__all__) == shoal_client.__all__
    assert set(shoal_client.__all__) == {
        *("Alias", "ComparedModel", "ExportSummary", "Health", "InferenceParameters", "Job"),
        *("JobProgress", "ModelComparison"),
        *("JobState", "LabelSet", "Model", "ModelVersion", "PartGrouping", "Shoal"),
        *("Targets", "Video", "WindowTracker", "check_health"),
        *("ClassGrouping", "InstanceFilters"),
        *("Artifact", "ArtifactKept", "AttemptBegun", "AttemptEnd", "AttemptEnded", "EpochEnded"),
        *("Evaluated", "JobEvent", "LogLines", "Measurement", "StageProgress", "StageState"),
        *("SweepAxis", "SweepTrial", "TrainingJob", "TrainingNews", "TrainingSpec"),
        *("TrainingStage", "TrainingSweep"),
    }
    assert all(hasattr(shoal_client, name) for name in shoal_client.__all__)


def test_lists_follow_the_pages_to_the_end(shoal: Shoal, fake: FakeEnsemble) -> None:
    assert [model.name for model in shoal.models.list()] == fake.models


def test_errors_of_services_come_back_typed(shoal: Shoal) -> None:
    with pytest.raises(NotFound) as caught:
        shoal.videos.probe("/missing.mp4")
    assert caught.value.reason == "VIDEO_NOT_FOUND"
    assert caught.value.metadata == {"path": "/missing.mp4"}


def test_a_service_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    target = f"unix:{tmp_path / 'nobody'}"
    with Shoal.connect(Targets(decode=target)) as shoal, pytest.raises(Unavailable) as caught:
        shoal.videos.probe("/video.mp4")
    assert f"decode at {target}" in caught.value.message


def test_every_call_has_a_deadline(shoal: Shoal, fake: FakeEnsemble) -> None:
    fake.watched = [[job(jobs_pb2.JOB_STATE_SUCCEEDED, 10)]]
    shoal.videos.probe("/video.mp4")
    shoal.models.import_(["/model"], name="m")
    shoal.models.get("models/m")
    shoal.jobs.create_track("/video.mp4", "models/m")
    list(shoal.models.list())
    list(shoal.jobs.watch("projects/default/jobs/a"))
    list(shoal.labels.stream_poses("projects/default/labelSets/a"))
    shoal.labels.export(["projects/default/labelSets/a"], "/out.slp")
    assert len(fake.deadlines_s) >= 8
    assert all(left is not None and left < 3600 for left in fake.deadlines_s)


def test_absent_parameters_stay_absent(shoal: Shoal, fake: FakeEnsemble) -> None:
    shoal.jobs.create_track("/video.mp4", "models/m", inference=InferenceParameters())
    request = fake.requests[-1]
    assert not request.HasField("range")
    assert not request.HasField("tracker")
    assert not request.inference.ListFields()


def test_parameters_arrive_as_given(shoal: Shoal, fake: FakeEnsemble) -> None:
    shoal.jobs.create_track(
        "/video.mp4",
        "models/m",
        frames=range(3, 9),
        inference=InferenceParameters(
            peak_threshold=0.5, batch_size=4, part_grouping=PartGrouping(min_instance_peaks=2)
        ),
        tracker=WindowTracker(similarity="iou", assignment="greedy", target_instance_count=2),
        centroids_label_set="projects/default/labelSets/c",
    )
    request = fake.requests[-1]
    assert (request.parent, request.range.start, request.range.stop) == ("projects/default", 3, 9)
    assert request.inference.peak_threshold == 0.5
    assert request.inference.part_grouping.min_instance_peaks == 2
    assert not request.inference.HasField("max_instances")
    window = request.tracker.window
    assert window.similarity == parameters_pb2.SIMILARITY_IOU
    assert window.assignment == parameters_pb2.ASSIGNMENT_GREEDY
    assert window.target_instance_count == 2
    assert not window.HasField("max_tracks")
    assert request.centroids_label_set == "projects/default/labelSets/c"


def test_frames_with_gaps_filters_and_content_arrive_as_given(
    shoal: Shoal, fake: FakeEnsemble
) -> None:
    shoal.jobs.create_track(
        "/video.mp4",
        "models/m",
        model_content_hash="beef",
        frames=[range(9, 12), range(3)],
        inference=InferenceParameters(
            part_grouping=PartGrouping(n_points=5),
            class_grouping=ClassGrouping(only_best_class=False, peak_value_weight=0.5),
            filters=InstanceFilters(min_visible_nodes=2, overlapping_method="oks"),
        ),
    )
    request = fake.requests[-1]
    assert not request.HasField("range")
    assert [(run.start, run.stop) for run in request.ranges] == [(9, 12), (0, 3)]
    assert request.model_content_hash == "beef"
    assert request.inference.part_grouping.n_points == 5
    assert request.inference.class_grouping.HasField("only_best_class")
    assert request.inference.class_grouping.peak_value_weight == 0.5
    filters = request.inference.filters
    assert filters.overlapping_method == parameters_pb2.OVERLAP_MEASURE_OKS
    assert filters.min_visible_nodes == 2
    assert not filters.HasField("overlapping_threshold")


@pytest.mark.parametrize(
    "frames", [range(0), range(0, 9, 2), range(-2, 5), [range(3), range(0)], []]
)
def test_frames_that_are_not_a_run_are_refused(shoal: Shoal, frames: range) -> None:
    with pytest.raises(InvalidArgument):
        shoal.jobs.create_track("/video.mp4", "models/m", frames=frames)


def test_watching_outlives_its_calls_and_ends_with_the_job(
    shoal: Shoal, fake: FakeEnsemble
) -> None:
    running = jobs_pb2.JOB_STATE_RUNNING
    fake.watched = [
        [job(running, 1), job(running, 2)],
        [job(running, 2)],
        [job(running, 5), job(jobs_pb2.JOB_STATE_SUCCEEDED, 10)],
    ]
    seen = list(shoal.jobs.watch("projects/default/jobs/a", period_s=0.2))
    assert [job.progress.committed_frame_count for job in seen] == [1, 2, 2, 5, 10]
    assert seen[-1].state is JobState.SUCCEEDED


def test_a_failed_job_carries_its_typed_error(shoal: Shoal, fake: FakeEnsemble) -> None:
    fake.watched = [[job(jobs_pb2.JOB_STATE_FAILED, 0)]]
    (failed,) = shoal.jobs.watch("projects/default/jobs/a")
    assert isinstance(failed.error, NotFound)
    assert failed.error.reason == "VIDEO_NOT_FOUND"


def test_poses_stream_in_frame_order(shoal: Shoal) -> None:
    frames = list(shoal.labels.stream_poses("projects/default/labelSets/a"))
    assert [frame.frame_index for frame in frames] == [0, 1, 2, 3]
    assert frames[3].points_px_IN2[0, 0, 0] == 3


def test_models_come_with_versions_and_aliases(shoal: Shoal) -> None:
    model = shoal.models.get("models/m")
    assert model.versions[0].skeleton.nodes == ("head", "thorax")
    assert model.aliases[0].version == "models/m/versions/1"


def test_a_silent_target_is_unreachable(tmp_path: Path) -> None:
    assert check_health(f"unix:{tmp_path / 'nobody'}", timeout_s=0.2) is Health.UNREACHABLE
