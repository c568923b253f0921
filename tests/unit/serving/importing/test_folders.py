"""Model folders are read, and bad ones are refused in one line that names thing and cure."""

import json
import shutil

import h5py
import numpy as np
import pytest

from shoal_core.errors import AlreadyExists, InvalidArgument
from shoal_serving.importing import import_model
from shoal_serving.importing.keras_config import read_keras_config
from tests.unit.serving.importing.class_vectors import graft_class_vectors

BOTTOMUP = "minimal_instance.UNet.bottomup"
CENTROID = "minimal_instance.UNet.centroid"
CENTERED = "minimal_instance.UNet.centered_instance"
ROBOT = "minimal_robot.UNet.single_instance"
CLASSES = "min_tracks_2node.UNet.bottomup_multiclass"


@pytest.fixture
def copy(shared_data, tmp_path):
    """Copies a real model folder so that a test may damage it."""

    def make(model, name="model"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for file in ("training_config.json", "best_model.h5"):
            shutil.copy(shared_data / "models" / model / file, folder / file)
        return folder

    return make


@pytest.fixture
def grafted(shared_data, tmp_path):
    """Makes a multi-class centred-instance folder."""
    return lambda: graft_class_vectors(shared_data / "models" / CENTERED, tmp_path / "grafted")


def change_config(folder, change):
    path = folder / "training_config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def refused(folders, destination) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        import_model(folders, destination)
    assert not destination.exists()
    assert "\n" not in caught.value.message
    assert caught.value.message.endswith(".")
    return caught.value


def test_a_bottomup_folder(shared_data, tmp_path):
    contract = import_model([shared_data / "models" / BOTTOMUP], tmp_path / "v1")
    assert (contract.family, contract.kind, contract.channels) == ("parts", "bottomup", 1)
    assert contract.skeleton.nodes == ("A", "B")
    assert contract.skeleton.edges == ((0, 1),)
    (stage,) = contract.stages
    assert (stage.input_scale, stage.max_stride, stage.refinement) == (1.0, 8, "offsets")
    assert len(contract.source_hash) == 64


def test_an_identity_folder(shared_data, tmp_path):
    contract = import_model([shared_data / "models" / CLASSES], tmp_path / "v1")
    assert (contract.family, contract.kind) == ("parts", "multiclass_bottomup")
    assert contract.classes == ("female", "male")
    assert contract.skeleton.nodes == ("head", "thorax")
    assert contract.skeleton.edges == ((1, 0),)
    (stage,) = contract.stages
    assert (stage.input_scale, stage.max_stride, stage.refinement) == (0.5, 16, "integral")


def test_a_single_instance_folder(shared_data, tmp_path):
    contract = import_model([shared_data / "models" / ROBOT], tmp_path / "v1")
    assert (contract.family, contract.kind, contract.channels) == (
        "instances",
        "single_instance",
        3,
    )
    assert contract.max_instances == 1


def test_a_centroid_folder_has_one_node(shared_data, tmp_path):
    contract = import_model([shared_data / "models" / CENTROID], tmp_path / "v1")
    assert (contract.kind, contract.skeleton.nodes) == ("centroid", ("centroid",))


def test_a_centered_instance_folder_takes_centroids(shared_data, tmp_path):
    contract = import_model([shared_data / "models" / CENTERED], tmp_path / "v1")
    assert (contract.kind, contract.takes_centroids) == ("centered_instance", True)
    assert contract.crop_size_px == 96


def test_a_multiclass_centered_instance_folder_takes_centroids(grafted, tmp_path):
    contract = import_model([grafted()], tmp_path / "v1")
    assert (contract.family, contract.kind) == ("instances", "multiclass_centered_instance")
    assert contract.takes_centroids
    assert contract.classes == ("female", "male", "other")
    assert contract.skeleton.nodes == ("A", "B")


@pytest.mark.parametrize("centroids_first", [True, False])
def test_a_multiclass_topdown_model_in_either_order(
    shared_data, grafted, tmp_path, centroids_first
):
    folders = [shared_data / "models" / CENTROID, grafted()]
    contract = import_model(folders if centroids_first else folders[::-1], tmp_path / "v1")
    assert (contract.kind, contract.takes_centroids) == ("multiclass_topdown", False)
    stages = [stage.name for stage in contract.stages]
    assert stages == ["centroid", "multiclass_centered_instance"]
    assert contract.classes == ("female", "male", "other")


def test_class_vectors_of_another_training_run(grafted, tmp_path):
    folder = grafted()

    def drop_class(config):
        vectors = config["model"]["heads"]["multi_class_topdown"]["class_vectors"]
        vectors["classes"] = vectors["classes"][:2]

    change_config(folder, drop_class)
    error = refused([folder], tmp_path / "v1")
    assert error.reason == "MODEL_WEIGHTS_MISMATCH"
    assert "ClassVectorsHead_0 has 3 channels, not 2" in error.message


@pytest.mark.parametrize(("scale", "side"), [(0.5, 192), (0.75, 128), (0.7, 138), (1.5, 64)])
def test_crops_cover_what_training_cut_out_of_scaled_frames(copy, tmp_path, scale, side):
    """SLEAP scales the frame before it cuts crops, so crop_size counts scaled pixels."""
    folder = copy(CENTERED)
    change_config(
        folder, lambda config: config["data"]["preprocessing"].update(input_scaling=scale)
    )
    contract = import_model([folder], tmp_path / "v1")
    assert contract.crop_size_px == side
    assert contract.stages[0].input_scale == scale


@pytest.mark.parametrize("order", [(CENTROID, CENTERED), (CENTERED, CENTROID)])
def test_two_stages_make_a_topdown_model_in_either_order(shared_data, tmp_path, order):
    folders = [shared_data / "models" / name for name in order]
    contract = import_model(folders, tmp_path / "v1")
    assert contract.kind == "topdown"
    assert [stage.name for stage in contract.stages] == ["centroid", "centered_instance"]
    assert contract.skeleton.nodes == ("A", "B")


def test_a_folder_of_both_stages_is_a_topdown_model(copy, tmp_path):
    copy(CENTERED, "both/1")
    copy(CENTROID, "both/2")
    contract = import_model([tmp_path / "both"], tmp_path / "v1")
    assert contract.kind == "topdown"


def test_the_hash_tells_models_apart_and_not_places(copy, shared_data, tmp_path):
    first = import_model([shared_data / "models" / ROBOT], tmp_path / "v1")
    second = import_model([copy(ROBOT)], tmp_path / "v2")
    other = import_model([shared_data / "models" / BOTTOMUP], tmp_path / "v3")
    assert first.source_hash == second.source_hash != other.source_hash


def test_a_version_is_never_overwritten(shared_data, tmp_path):
    import_model([shared_data / "models" / ROBOT], tmp_path / "v1")
    with pytest.raises(AlreadyExists) as caught:
        import_model([shared_data / "models" / ROBOT], tmp_path / "v1")
    assert caught.value.reason == "MODEL_VERSION_EXISTS"


def test_a_folder_that_is_not_there(tmp_path):
    error = refused([tmp_path / "nowhere"], tmp_path / "v1")
    assert error.reason == "MODEL_FILE_MISSING"
    assert "nowhere" in error.message


@pytest.mark.parametrize("file", ["training_config.json", "best_model.h5"])
def test_a_missing_file(copy, tmp_path, file):
    folder = copy(BOTTOMUP)
    (folder / file).unlink()
    error = refused([folder], tmp_path / "v1")
    assert error.reason == "MODEL_FILE_MISSING"
    assert file in error.message


@pytest.mark.parametrize("keep", [0, 100, 100_000])
def test_truncated_weights(copy, tmp_path, keep):
    folder = copy(BOTTOMUP)
    path = folder / "best_model.h5"
    path.write_bytes(path.read_bytes()[:keep])
    error = refused([folder], tmp_path / "v1")
    assert error.reason == "MODEL_FILE_DAMAGED"
    assert "best_model.h5" in error.message


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"data": 1, "model": 2}', "\x00\xff"),
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_a_configuration_that_is_none(copy, tmp_path, text):
    folder = copy(BOTTOMUP)
    (folder / "training_config.json").write_text(text)
    error = refused([folder], tmp_path / "v1")
    assert error.reason == "MODEL_CONFIG_INVALID"
    assert "training_config.json" in error.message


def test_an_hdf5_file_without_a_keras_model(copy, tmp_path):
    folder = copy(BOTTOMUP)
    with h5py.File(folder / "best_model.h5", "w") as file:
        file["numbers"] = np.arange(3)
    error = refused([folder], tmp_path / "v1")
    assert error.reason == "MODEL_CONFIG_INVALID"


def test_weights_that_do_not_fit_a_layer(copy, tmp_path):
    folder = copy(BOTTOMUP)
    name = "model_weights/stack0_enc1_conv0/stack0_enc1_conv0/kernel:0"
    with h5py.File(folder / "best_model.h5", "a") as file:
        wrong = file[name][:, :, :-1]
        del file[name]
        file[name] = wrong
    error = refused([folder], tmp_path / "v1")
    assert error.reason == "MODEL_WEIGHTS_MISMATCH"
    assert "stack0_enc1_conv0" in error.message
    assert "3x3x16x24" in error.message
    assert "3x3x15x24" in error.message


def test_weights_that_are_not_there(copy, tmp_path):
    folder = copy(BOTTOMUP)
    with h5py.File(folder / "best_model.h5", "a") as file:
        del file["model_weights/stack0_enc1_conv0/stack0_enc1_conv0/bias:0"]
    error = refused([folder], tmp_path / "v1")
    assert error.reason == "MODEL_WEIGHTS_MISMATCH"
    assert "'stack0_enc1_conv0'" in error.message


def test_configuration_and_weights_of_different_runs(copy, shared_data, tmp_path):
    folder = copy(CLASSES)
    shutil.copy(shared_data / "models" / BOTTOMUP / "best_model.h5", folder)
    error = refused([folder], tmp_path / "v1")
    assert error.reason in ("MODEL_WEIGHTS_MISMATCH", "MODEL_CONFIG_INVALID")
    assert "same training run" in error.message


def test_another_stride_than_the_network_has(copy, tmp_path):
    folder = copy(BOTTOMUP)
    heads = ("model", "heads", "multi_instance", "confmaps")

    def change(config):
        for key in heads:
            config = config[key]
        config["output_stride"] = 4

    change_config(folder, change)
    error = refused([folder], tmp_path / "v1")
    assert error.reason == "MODEL_WEIGHTS_MISMATCH"
    assert "MultiInstanceConfmapsHead_0" in error.message


def test_a_layer_of_an_unknown_class(copy, tmp_path):
    folder = copy(BOTTOMUP)
    with h5py.File(folder / "best_model.h5", "a") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][2]["class_name"] = "Lambda"
        file.attrs["model_config"] = json.dumps(config)
    error = refused([folder], tmp_path / "v1")
    assert error.reason == "MODEL_KIND_UNSUPPORTED"
    assert "stack0_enc0_act0_relu" in error.message
    assert "Lambda" in error.message


def test_a_kind_that_is_not_imported(copy, tmp_path):
    folder = copy(CENTERED)

    def change(config):
        config["model"]["heads"] = {"depth": {"confmaps": {}}}

    change_config(folder, change)
    error = refused([folder], tmp_path / "v1")
    assert error.reason == "MODEL_KIND_UNSUPPORTED"
    assert "multi_class_topdown" in error.message


def test_preprocessing_that_is_not_imported(copy, tmp_path):
    folder = copy(BOTTOMUP)
    change_config(folder, lambda config: config["data"]["preprocessing"].update(imagenet_mode="tf"))
    error = refused([folder], tmp_path / "v1")
    assert error.reason == "MODEL_KIND_UNSUPPORTED"
    assert "imagenet_mode" in error.message


@pytest.mark.parametrize("number", [0, -1, float("nan"), float("inf"), "wide", [1, 1]])
@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("preprocessing", "input_scaling"),
        ("preprocessing", "target_height"),
        ("instance_cropping", "crop_size"),
    ],
)
def test_a_size_that_is_none(copy, tmp_path, section, key, number):
    folder = copy(CENTERED)

    def change(config):
        config["data"]["preprocessing"] |= {"resize_and_pad_to_target": True, "target_width": 384}
        config["data"][section][key] = number

    change_config(folder, change)
    error = refused([folder], tmp_path / "v1")
    assert error.reason == "MODEL_CONFIG_INVALID"
    assert "training_config.json" in error.message


def test_a_crop_size_that_is_not_there(copy, tmp_path):
    folder = copy(CENTERED)
    change_config(folder, lambda config: config["data"]["instance_cropping"].update(crop_size=None))
    error = refused([folder], tmp_path / "v1")
    assert error.reason == "MODEL_CONFIG_INVALID"
    assert "crop_size" in error.message


def test_folders_that_make_no_model_together(shared_data, tmp_path):
    folders = [shared_data / "models" / name for name in (BOTTOMUP, CENTROID)]
    error = refused(folders, tmp_path / "v1")
    assert error.reason == "MODEL_KIND_UNSUPPORTED"
    assert "bottomup and centroid" in error.message


def node(name):
    return {"py/object": "sleap.skeleton.Node", "py/state": {"py/tuple": [name, 1.0]}}


def link_type(number):
    kind = {"py/type": "sleap.skeleton.EdgeType"}
    return {"py/reduce": [kind, {"py/tuple": [number]}]}


def test_skeletons_with_references_edges_in_their_order_and_symmetries(copy):
    """Objects are counted where they are written out: nodes and types of links alike."""
    folder = copy(CENTERED)
    links = [
        {"edge_insert_idx": 1, "key": 0, "source": node("head"), "target": node("left")},
        {"edge_insert_idx": 0, "key": 0, "source": {"py/id": 1}, "target": node("right")},
        {"key": 0, "source": {"py/id": 2}, "target": {"py/id": 4}},
        {"key": 0, "source": {"py/id": 4}, "target": {"py/id": 2}},
    ]
    types = [link_type(1), {"py/id": 3}, link_type(2), {"py/id": 5}]
    for link, kind in zip(links, types, strict=True):
        link["type"] = kind

    def change(config):
        head = config["model"]["heads"]["centered_instance"]
        head["part_names"] = ["left", "right", "head"]
        graph = {"graph": {"name": "fly"}, "links": links, "nodes": []}
        config["data"]["labels"]["skeletons"] = [graph]

    change_config(folder, change)
    skeleton = read_keras_config(folder).skeleton
    assert (skeleton.name, skeleton.nodes) == ("fly", ("left", "right", "head"))
    assert skeleton.edges == ((2, 1), (2, 0))
    assert skeleton.symmetries == ((0, 1),)
