"""The document of a job says everything, in the words of the contract."""

import json

from shoal.common.v1 import parameters_pb2, video_pb2
from shoal.jobs.v1 import jobs_pb2
from shoal_common.convert_parameters import resolved_inference, resolved_tracker
from shoal_common.frame_ranges import range_messages
from shoal_common.inference.contract import PoseContract
from shoal_common.track_document import track_document
from shoal_core.skeleton import Skeleton

CONTRACT = PoseContract(
    family="parts",
    kind="bottomup",
    skeleton=Skeleton("fly", ("head", "tail"), ((0, 1),)),
    channels=1,
    stages=(),
)


def spec() -> jobs_pb2.TrackJobSpec:
    window = parameters_pb2.WindowTrackerParameters(similarity=parameters_pb2.SIMILARITY_OKS)
    return jobs_pb2.TrackJobSpec(
        model_version="models/fly/versions/1",
        model_content_hash="beef",
        range=video_pb2.FrameRange(start=2, stop=9),
        inference=resolved_inference(parameters_pb2.InferenceParameters(), CONTRACT),
        tracker=resolved_tracker(parameters_pb2.TrackerParameters(window=window)),
    )


def test_every_default_is_written_as_people_write_it() -> None:
    assert json.loads(json.dumps(track_document(spec()))) == {
        "models": ["models/fly/versions/1"],
        "model_content_hash": "beef",
        "frames": "2-8",
        "inference": {
            "peak_threshold": 0.2,
            "max_instances": None,
            "batch_size": 16,
            "crop_peak_threshold": None,
            "part_grouping": {
                "max_edge_length_ratio": 0.25,
                "dist_penalty_weight": 1.0,
                "min_instance_peaks": 0.0,
                "min_line_scores": 0.25,
                "n_points": 10,
            },
            "class_grouping": {"only_best_class": False, "peak_value_weight": 0.0},
            "filters": {
                "min_visible_nodes": 0,
                "min_visible_node_fraction": 0.0,
                "min_mean_node_score": 0.0,
                "min_instance_score": None,
                "overlapping_method": "none",
                "overlapping_threshold": 0.8,
            },
        },
        "tracker": {
            "method": "window",
            "window_frame_count": 5,
            "similarity": "oks",
            "assignment": "hungarian",
            "max_tracks": None,
            "target_instance_count": None,
            "min_similarity": 0.05,
        },
        "centroids": None,
    }


def test_gaps_no_tracker_and_centroids_are_said() -> None:
    job = spec()
    job.ClearField("tracker")
    job.ranges.extend(range_messages([range(2, 4), range(8, 9)]))
    job.centroids_label_set = "projects/lab/labelSets/c"
    document = track_document(job)
    assert document["frames"] == "2-3,8"
    assert document["tracker"] == {"method": "none"}
    assert document["centroids"] == "projects/lab/labelSets/c"
