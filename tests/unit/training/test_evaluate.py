"""Laws of the evaluation of a trained network."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from shoal_core.errors import InvalidArgument
from shoal_core.skeleton import Skeleton
from shoal_training.evaluate import evaluate_frames, evaluate_split
from shoal_training.labelled_set import LabelledFrame, LabelledSet
from shoal_training.predict import Predictor
from shoal_training.scored_frames import score_frames
from tests.unit.training.painted import painted_set, painted_spec, reads_colours

ALL = range(4)


def test_a_network_that_sees_every_node_is_right_everywhere() -> None:
    result = evaluate_split(Predictor(reads_colours, painted_spec()), painted_set(), ALL)
    assert (result.frame_count, result.instance_count) == (4, 8)
    assert result.poses is not None
    assert (result.poses.map, result.poses.mar, result.poses.pck_mean) == (1, 1, 1)
    assert result.poses.dist_p95_px is not None
    assert result.poses.dist_p95_px < 0.1
    assert [node.name for node in result.nodes] == ["front", "back"]
    assert result.identities is None


@pytest.mark.parametrize("good_first", [False, True])
def test_animals_that_a_network_is_less_sure_of_rank_behind(good_first: bool) -> None:
    def unsure(images_BCHW: torch.Tensor) -> dict[str, torch.Tensor]:
        """Half as sure of every second crop."""
        shares_B = torch.tensor([1.0, 0.5])[torch.arange(len(images_BCHW)) % 2]
        seen = reads_colours(images_BCHW)
        return {name: maps * shares_B[:, None, None, None] for name, maps in seen.items()}

    far = np.array((300.0, 0.0), np.float32)
    wrong = 1 if good_first else 0

    class Misled(Predictor):
        """Puts one animal of each frame elsewhere."""

        def __call__(self, image_HWC, centroids_px_I2=None, frame_index=0):
            poses = super().__call__(image_HWC, centroids_px_I2, frame_index)
            points_IN2 = poses.points_px_IN2.copy()
            points_IN2[wrong] += far
            return replace(poses, points_px_IN2=points_IN2)

    result = evaluate_split(Misled(unsure, painted_spec()), painted_set(), ALL)
    assert result.poses is not None
    # Half of the animals are right: all of them first, or all of them last.
    assert result.poses.mar == pytest.approx(0.5)
    assert (result.poses.map > 0.45) == good_first
    assert result.poses.map > 0.2


def test_a_shift_of_the_labels_is_the_error() -> None:
    labelled = painted_set()
    step = np.array((3.0, 4.0), np.float32)
    moved = labelled.with_frames(
        [replace(frame, points_px_IN2=frame.points_px_IN2 + step) for frame in labelled.frames]
    )
    result = evaluate_split(Predictor(reads_colours, painted_spec()), moved, ALL, px_per_mm=10)
    assert result.poses is not None
    assert result.poses.dist_p50_px == pytest.approx(5, abs=0.1)
    # Radii of 6 to 10 px of the ten.
    assert result.poses.pck_mean == pytest.approx(0.5, abs=0.06)
    figures = result.figures()
    for figure in (figures["poses"], *figures["nodes"]):
        assert figure["dist_p50_mm"] == pytest.approx(figure["dist_p50_px"] / 10)


def test_labels_may_have_their_nodes_in_another_order() -> None:
    labelled = painted_set()
    turned = LabelledSet(
        skeleton=Skeleton("stick", ("back", "front"), ((0, 1),)),
        classes=labelled.classes,
        videos=labelled.videos,
        frames=[
            replace(frame, points_px_IN2=frame.points_px_IN2[:, ::-1]) for frame in labelled.frames
        ],
    )
    predictor = Predictor(reads_colours, painted_spec())
    assert evaluate_split(predictor, turned, ALL) == evaluate_split(predictor, labelled, ALL)


def test_labels_of_another_skeleton_are_refused() -> None:
    predictor = Predictor(
        reads_colours, painted_spec(skeleton=Skeleton("other", ("front", "tail")))
    )
    with pytest.raises(InvalidArgument) as error:
        evaluate_split(predictor, painted_set(), ALL)
    assert error.value.reason == "NODES_DIFFER"


def test_a_centroid_model_is_measured_by_the_points_it_finds() -> None:
    predictor = Predictor(reads_colours, painted_spec("centroid"))
    result = evaluate_split(predictor, painted_set(), ALL)
    assert result.poses is None
    assert result.centroids is not None
    assert (result.centroids.precision, result.centroids.recall) == (1, 1)
    assert result.centroids.radius_px == pytest.approx(30 / 4, rel=0.01)
    # One of the painted animals is not labelled: what is found there is false.
    labelled = painted_set()
    halved = labelled.with_frames(
        [
            LabelledFrame(0, frame.frame_index, frame.points_px_IN2[:1], frame.class_indices_I[:1])
            for frame in labelled.frames
        ]
    )
    fewer = evaluate_split(predictor, halved, ALL).centroids
    assert fewer is not None
    assert (fewer.precision, fewer.recall) == (0.5, 1)


@pytest.mark.parametrize(
    ("names", "accuracy", "found"),
    [
        ({}, 1.0, 8),
        ({"striped": "plain", "plain": "striped"}, 0.0, 8),
        ({"striped": "striped", "plain": "somebody"}, 1.0, 4),
    ],
)
def test_identities_are_compared_under_the_models_names(names, accuracy, found) -> None:
    predictor = Predictor(reads_colours, painted_spec("multiclass_centered_instance"))
    scored = score_frames(predictor, painted_set(), ALL, class_names=names)
    identities = evaluate_frames(scored, predictor.spec).identities
    assert identities is not None
    assert (identities.accuracy, identities.found_count) == (accuracy, found)


def test_frames_are_read_in_the_order_of_the_video_and_once() -> None:
    labelled = painted_set()
    beats: list[int] = []
    score_frames(
        Predictor(reads_colours, painted_spec()),
        labelled,
        (3, 0, 2),
        heartbeat=lambda: beats.append(1),
    )
    assert labelled.videos[0].reads == [0, 2, 3]
    assert len(beats) == 3


@pytest.mark.parametrize("kind", ["centroid", "centered_instance", "multiclass_centered_instance"])
def test_figures_are_json_that_says_what_was_measured(kind: str) -> None:
    result = evaluate_split(Predictor(reads_colours, painted_spec(kind)), painted_set(), ALL)
    figures = json.loads(result.to_json())
    assert figures == result.figures()
    assert figures["kind"] == kind
    assert (figures["centroids"] is None) == (kind != "centroid")
    assert not any("_mm" in key and key != "px_per_mm" for key in str(figures).split("'"))


def test_no_labelled_frame_is_an_error() -> None:
    with pytest.raises(InvalidArgument) as error:
        evaluate_split(Predictor(reads_colours, painted_spec()), painted_set(), ())
    assert error.value.reason == "NO_GROUND_TRUTH"
