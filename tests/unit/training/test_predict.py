"""The path of PyTorch and numpy finds what the served graphs find, with the same networks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from shoal_common.inference.contract import PoseContract
from shoal_core.class_grouping import assign_classes, group_class_parts
from shoal_core.errors import InvalidArgument
from shoal_core.grouping import group_parts
from shoal_core.pose import FramePoses
from shoal_core.skeleton import Skeleton
from shoal_serving.graphs.network import CONFIDENCE_HEADS
from shoal_training.heads import HeadSpec
from shoal_training.model_spec import ModelSpec
from shoal_training.network_input import crop_input, frame_input
from shoal_training.predict import Predictor
from tests.unit.serving.graphs.running import ServedModel, read_frames, session
from tests.unit.serving.graphs.served_models import ServedModels

PAIR = "pair/centered_pair_low_quality.mp4"
FRAMES = {
    "single_instance": ("robot/small_robot.mp4", 3),
    "centroid": (PAIR, 3),
    "centered_instance": (PAIR, 3),
    "bottomup": (PAIR, 3),
    # In others of its frames two peaks of a class have probability 1 but for the last bit.
    "multiclass_bottomup": ("flies_clip/clip.mp4", 20),
    "multiclass_centered_instance": (PAIR, 3),
}
CENTROIDS_PX = np.array([[150.25, 180.5], [240.0, 190.75], [3.0, 380.0]], np.float32)


@pytest.fixture(scope="module")
def served_models(shared_data: Path, tmp_path_factory) -> ServedModels:
    return ServedModels(shared_data / "models", tmp_path_factory.mktemp("served"))


def network_of(served: ServedModel):
    """The network of a served model as a function of tensors."""
    step = next(step for step in served.chain.steps if step.kind == "body")
    body = session(str(served.folder / step.file))

    def run(images_BCHW: torch.Tensor) -> dict[str, torch.Tensor]:
        made = body.run(list(step.outputs), {"input": images_BCHW.numpy()})
        # "CentroidConfmapsHead_0" is the layer of a CentroidConfmapsHead.
        names = [name.rsplit("_", 1)[0] for name in step.outputs]
        return {name: torch.from_numpy(maps) for name, maps in zip(names, made, strict=True)}

    return run


def spec_of(contract: PoseContract, channels: dict[str, int]) -> ModelSpec:
    stage = contract.stages[0]
    return ModelSpec(
        kind=contract.kind,
        skeleton=contract.skeleton,
        heads=tuple(
            HeadSpec(name.rsplit("_", 1)[0], channels[name.rsplit("_", 1)[0]], stride)
            for name, stride in stage.output_strides.items()
        ),
        channels=contract.channels,
        max_stride=stage.max_stride,
        classes=contract.classes,
        anchor_part=contract.anchor_part,
        crop_size_px=contract.crop_size_px,
        input_scale=stage.input_scale,
        antialias=stage.antialias,
        peak_threshold=contract.peak_threshold,
        max_instances=contract.max_instances,
        max_peaks_per_node=contract.max_peaks_per_node,
    )


def served_poses(served: ServedModel, image_HWC: np.ndarray, **inputs) -> FramePoses:
    """The animals of one frame as a client of the served model gets them."""
    contract = served.contract
    made = {name: array[0] for name, array in served.run(images=image_HWC[None], **inputs).items()}
    if contract.family == "instances":
        found = slice(0, int(made["instance_counts"]))
        names = ("instance_peaks", "instance_peak_values", "instance_scores")
        poses = FramePoses.untracked(0, *(made[name][found] for name in names))
        classes = made.get("class_probabilities")
        return poses if classes is None else assign_classes(poses, classes[found])
    peaks, values = made["peaks"], made["peak_values"]
    if contract.classes:
        return group_class_parts(peaks, values, made["class_probabilities"])
    size = image_HWC.shape[:2]
    scores, skeleton = made["edge_scores"], contract.skeleton
    return group_parts(peaks, values, scores, skeleton=skeleton, frame_size_px=size)


@pytest.mark.parametrize("kind", list(FRAMES))
def test_every_kind_finds_what_the_served_graph_finds(served_models, shared_data, kind) -> None:
    served = served_models[kind]
    network = network_of(served)
    inputs = {}
    if served.contract.takes_centroids:
        inputs["centroids"] = CENTROIDS_PX[None]
    video, frame_index = FRAMES[kind]
    [image_HWC] = read_frames(shared_data / video, [frame_index])
    probe = torch.zeros(1, served.contract.channels, 64, 64)
    channels = {name: maps.shape[1] for name, maps in network(probe).items()}
    predictor = Predictor(network, spec_of(served.contract, channels))

    ours = predictor(image_HWC, CENTROIDS_PX if inputs else None)
    theirs = served_poses(served, image_HWC, **inputs)

    assert theirs.instance_count > 0
    assert ours.instance_count == theirs.instance_count
    np.testing.assert_allclose(ours.points_px_IN2, theirs.points_px_IN2, atol=0.01)
    np.testing.assert_allclose(ours.point_scores_IN, theirs.point_scores_IN, atol=1e-4)
    np.testing.assert_allclose(ours.instance_scores_I, theirs.instance_scores_I, atol=1e-3)
    np.testing.assert_array_equal(ours.track_indices_I, theirs.track_indices_I)


def made_up_spec(**values) -> ModelSpec:
    defaults = {
        "kind": "centered_instance",
        "skeleton": Skeleton("two", ("a", "b")),
        "heads": (HeadSpec(CONFIDENCE_HEADS["centered_instance"], 2, 1),),
        "channels": 1,
        "max_stride": 16,
        "crop_size_px": 16,
        "peak_threshold": 0.1,
    }
    return ModelSpec(**(defaults | values))


def brightest(images_BCHW: torch.Tensor) -> dict[str, torch.Tensor]:
    """A network that takes the pixels themselves for both nodes' maps."""
    return {CONFIDENCE_HEADS["centered_instance"]: images_BCHW.repeat(1, 2, 1, 1)}


def test_a_crop_finds_its_pixel_wherever_it_is_cut() -> None:
    image_HWC = np.zeros((60, 80, 1), np.uint8)
    image_HWC[30, 40] = 255
    predictor = Predictor(brightest, made_up_spec())
    for center in ([40.0, 30.0], [38.25, 31.5], [44.9, 24.1]):
        poses = predictor(image_HWC, np.array([center], np.float32))
        np.testing.assert_allclose(poses.points_px_IN2, [[[40, 30]] * 2], atol=1e-4)


def test_crops_without_any_node_are_no_animals_but_keep_their_places() -> None:
    image_HWC = np.zeros((60, 80, 1), np.uint8)
    image_HWC[30, 40] = 255
    centers = np.array([[10, 10], [40, 30]], np.float32)
    predictor = Predictor(brightest, made_up_spec())
    assert predictor(image_HWC, centers).instance_count == 1
    found = predictor.in_crops(image_HWC, centers).points_px_IN2
    assert np.isnan(found[0]).all()
    assert not np.isnan(found[1]).any()


def test_a_frame_without_animals_has_no_poses() -> None:
    image_HWC = np.zeros((60, 80, 1), np.uint8)
    nowhere = np.zeros((0, 2), np.float32)
    assert Predictor(brightest, made_up_spec())(image_HWC, nowhere).instance_count == 0


def test_models_that_see_crops_must_be_told_where() -> None:
    with pytest.raises(InvalidArgument) as error:
        Predictor(brightest, made_up_spec())(np.zeros((60, 80, 1), np.uint8))
    assert error.value.reason == "CENTROIDS_MISSING"


@pytest.mark.parametrize("scale", [0.5, 0.75])
def test_input_is_scaled_and_padded_to_the_stride(scale: float) -> None:
    image_HWC = np.full((60, 90, 1), 255, np.uint8)
    spec = made_up_spec(kind="centroid", input_scale=scale)
    images = frame_input(image_HWC, spec)
    inside = images[0, 0, : int(60 * scale), : int(90 * scale)]
    assert all(length % 16 == 0 for length in images.shape[2:])
    assert images.sum() == pytest.approx(float(inside.sum()))
    assert torch.allclose(inside, torch.ones_like(inside))
    crop = made_up_spec(input_scale=scale, max_stride=1)
    assert crop_input(image_HWC, CENTROIDS_PX[:0], crop).shape[0] == 0
    sides = crop_input(image_HWC, np.array([[30, 30]], np.float32), crop).shape[2:]
    assert sides == (int(16 * scale),) * 2
