"""sleap-nn folders become served models, and bad ones are refused in one line."""

import shutil

import numpy as np
import pytest
import sleap_io
import torch

from shoal_core.coordinates import instance_centroids
from shoal_core.grouping import group_parts
from shoal_serving.importing import import_model
from tests.unit.serving.graphs.running import ServedModel, read_frames, read_gray_frames
from tests.unit.serving.importing.torch_copies import change_weights, refused

FOLDERS = {
    "single_instance": ["single_instance"],
    "centroid": ["centroid"],
    "centered_instance": ["centered_instance"],
    "topdown": ["centered_instance", "centroid"],
    "bottomup": ["bottomup"],
    "multiclass_bottomup": ["multiclass_bottomup"],
    "multiclass_centered_instance": ["multiclass_centered_instance"],
    "multiclass_topdown": ["multiclass_centered_instance", "centroid"],
}
"""Kind → model folders."""


@pytest.fixture(scope="module")
def served(shared_data, tmp_path_factory):
    """Imports a model on first use: served("bottomup")."""
    workspace = tmp_path_factory.mktemp("served")
    made = {}

    def serve(kind) -> ServedModel:
        if kind not in made:
            sources = [
                shared_data / "models_torch" / f"minimal_instance_{f}" for f in FOLDERS[kind]
            ]
            import_model(sources, workspace / kind)
            made[kind] = ServedModel(workspace / kind)
        return made[kind]

    return serve


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_real_frame_as_chain_and_as_one_graph(shared_data, served, kind):
    images = read_gray_frames(shared_data / "pair" / "centered_pair_small.mp4", [100])
    model = served(kind)
    assert model.contract.kind == kind
    assert model.contract.source == "sleap-nn 0.0.1 (PyTorch)"
    request = {"images": images}
    if model.contract.takes_centroids:
        request["centroids"] = np.array([[[150, 200], [240, 190]]], np.float32)
    if model.contract.classes and model.contract.family == "instances":
        # Its confidence is low on crops that are not centred on the node it was trained on.
        request["peak_threshold"] = np.array([[0.01]], np.float32)
    chain, composed = model.run(**request), model.run_composed(**request)
    assert set(chain) == set(composed)
    for name, values in chain.items():
        np.testing.assert_allclose(composed[name], values, rtol=0, atol=1e-4, err_msg=name)


def labels(shared_data):
    path = shared_data / "models" / "minimal_instance.UNet.bottomup" / "labels_gt.train.slp"
    (frame,) = sleap_io.load_slp(str(path), open_videos=False)
    return np.stack([instance.numpy() for instance in frame.instances]).astype(np.float32)


@pytest.fixture(scope="module")
def labelled_frame(shared_data):
    return read_gray_frames(shared_data / "pair" / "centered_pair_low_quality.mp4", [0])


def distance(found_IN2, expected_IN2):
    found = found_IN2[np.argsort(found_IN2[:, 0, 0])]
    assert found.shape == expected_IN2.shape
    return np.linalg.norm(found - expected_IN2, axis=-1).max()


def test_bottomup_finds_the_labelled_animals(shared_data, served, labelled_frame):
    model = served("bottomup")
    made = model.run(images=labelled_frame)
    poses = group_parts(
        made["peaks"][0],
        made["peak_values"][0],
        made["edge_scores"][0],
        skeleton=model.contract.skeleton,
        frame_size_px=(384, 384),
    )
    assert distance(poses.points_px_IN2, labels(shared_data)) < 2


def test_centered_instances_lie_on_the_labels(shared_data, served, labelled_frame):
    expected = labels(shared_data)
    made = served("centered_instance").run(
        images=labelled_frame, centroids=instance_centroids(expected)[None]
    )
    assert distance(made["instance_peaks"][0], expected) < 1


def test_topdown_finds_the_labelled_animals(shared_data, served, labelled_frame):
    made = served("topdown").run(images=labelled_frame)
    count = made["instance_counts"][0]
    assert distance(made["instance_peaks"][0, :count], labels(shared_data)) < 1


def test_classes_of_the_labelled_animals_are_certain_and_different(
    shared_data, served, labelled_frame
):
    made = served("multiclass_bottomup").run(images=labelled_frame)
    assert made["peak_counts"].min() >= 2
    best = np.argsort(-made["peak_values"][0], axis=1)[:, :2]
    points = np.take_along_axis(made["peaks"][0], best[..., None], axis=1)
    best = np.take_along_axis(best, np.argsort(points[..., 0], axis=1), axis=1)
    found = np.take_along_axis(made["peaks"][0], best[..., None], axis=1).transpose(1, 0, 2)
    assert distance(found, labels(shared_data)) < 5
    classes = np.take_along_axis(made["class_probabilities"][0], best[..., None], axis=1)
    classes = classes.transpose(1, 0, 2)
    np.testing.assert_allclose(classes, [[[1, 0]] * 2, [[0, 1]] * 2], atol=0.01)


def test_the_second_stage_alone_names_the_animals(shared_data, served, labelled_frame):
    """The network was trained on crops around node B, unlike its configuration says."""
    expected = labels(shared_data)
    model = served("multiclass_centered_instance")
    made = model.run(images=labelled_frame, centroids=expected[None, :, 1])
    assert model.contract.classes == ("female", "male")
    np.testing.assert_allclose(made["class_probabilities"], [[[1, 0], [0, 1]]], atol=1e-3)
    assert distance(made["instance_peaks"][0, :1], expected[:1]) < 1
    # Node A of the second animal lies outside its crop.
    assert distance(made["instance_peaks"][0, 1:, 1:], expected[1:, 1:]) < 1


def test_colours_are_those_of_training(shared_data, served):
    """Version 0.0.1 trained on blue, green, red; frames here are red, green, blue."""
    path = shared_data / "robot" / "small_robot_minimal.slp"
    (frame, *_) = sleap_io.load_slp(str(path), open_videos=False)
    images = read_frames(shared_data / "robot" / "small_robot.mp4", [frame.frame_idx])
    made = served("single_instance").run(images=images)
    assert made["instance_counts"].tolist() == [1]
    assert distance(made["instance_peaks"][0], frame.instances[0].numpy()[None]) < 20


@pytest.mark.parametrize("file", ["training_config.yaml", "best.ckpt"])
def test_a_missing_file(torch_copy, tmp_path, file):
    folder = torch_copy("bottomup")
    (folder / file).unlink()
    error = refused(folder, tmp_path / "v1")
    assert error.reason == "MODEL_FILE_MISSING"
    assert file in error.message


@pytest.mark.parametrize("keep", [0, 1000, 100_000])
def test_a_truncated_checkpoint(torch_copy, tmp_path, keep):
    folder = torch_copy("bottomup")
    path = folder / "best.ckpt"
    path.write_bytes(path.read_bytes()[:keep])
    error = refused(folder, tmp_path / "v1")
    assert error.reason == "MODEL_FILE_DAMAGED"
    assert "best.ckpt" in error.message


LAYER = "model.backbone.encoders.0.encoder_stack.1.blocks.stack0_enc1_conv0.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop(LAYER), [LAYER]),
        (lambda state: state.update({LAYER: state[LAYER][:, 1:]}), [LAYER, "24x15x3x3"]),
        (lambda state: state.update({"model.more": torch.ones(1)}), ["'model.more'"]),
        (lambda state: state.clear(), ["stack0_enc0_conv0"]),
    ],
    ids=["missing", "shape", "surplus", "empty"],
)
def test_weights_that_do_not_fit(torch_copy, tmp_path, change, words):
    folder = torch_copy("bottomup")
    change_weights(folder, change)
    error = refused(folder, tmp_path / "v1")
    assert error.reason == "MODEL_WEIGHTS_MISMATCH"
    for word in words:
        assert word in error.message


def test_configuration_and_weights_of_different_runs(torch_copy, shared_data, tmp_path):
    folder = torch_copy("bottomup")
    other = shared_data / "models_torch" / "minimal_instance_centered_instance" / "best.ckpt"
    shutil.copy(other, folder)
    assert refused(folder, tmp_path / "v1").reason == "MODEL_WEIGHTS_MISMATCH"
