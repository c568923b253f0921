"""Folders that Shoal's training did not write like this are refused, in one line with the cure."""

import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from shoal_core.errors import FailedPrecondition, InvalidArgument
from shoal_serving.importing import import_model
from tests.fakes import shoal_models
from tests.fakes.shoal_models import write_model

KIND = "multiclass_bottomup"


@pytest.fixture
def folder(tmp_path):
    return write_model(tmp_path / "model", KIND)


def refused(folder, kind=InvalidArgument):
    """Returns the error of an import that leaves nothing behind."""
    destination = folder.parent / "v1"
    with pytest.raises(kind) as caught:
        import_model([folder], destination)
    assert not destination.exists()
    assert "\n" not in caught.value.message
    assert caught.value.message.endswith(".")
    assert len(caught.value.message) < 700
    return caught.value


def describe(folder, **changes):
    path = folder / "shoal_model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_network(folder, change):
    path = folder / "network.onnx"
    model = onnx.load_model_from_string(path.read_bytes())
    change(model)
    path.write_bytes(model.SerializeToString())


def change_parity(folder, **changes):
    np.savez(folder / "parity.npz", **{**shoal_models.parity(KIND), **changes})


@pytest.mark.parametrize("file", ["network.onnx", "parity.npz"])
def test_a_missing_file(folder, file):
    (folder / file).unlink()
    error = refused(folder)
    assert error.reason == "MODEL_FILE_MISSING"
    assert file in error.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        "{",
        "{}",
        "\x00\xff",
        "[" * 100_000,
        '{"format": "shoal-model", "version": 1}',
        '{"format": "shoal-model", "version": 1, "input_scale": NaN}',
    ],
    ids=range(9),
)
def test_a_damaged_description(folder, text):
    (folder / "shoal_model.json").write_text(text)
    error = refused(folder)
    assert error.reason == "MODEL_CONFIG_INVALID"
    assert "shoal_model.json" in error.message


HEADS = shoal_models.description(KIND)["heads"]


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"format": "other"},
        {"channels": 2},
        {"channels": True},
        {"max_stride": 3},
        {"max_stride": 0},
        {"input_scale": 0},
        {"input_scale": "1"},
        {"input_scale": 1e999},
        {"crop_size_px": 64},
        {"antialias": 1},
        {"refinement": "none"},
        {"refinement": "offsets"},
        {"peak_threshold": -0.1},
        {"peak_threshold": "low"},
        {"classes": []},
        {"classes": ["female"]},
        {"classes": ["female", "female"]},
        {"classes": "ab"},
        {"anchor_part": "wing"},
        {"skeleton": {"name": "spots", "nodes": [], "edges": [], "symmetries": []}},
        {"skeleton": {"name": "s", "nodes": ["head"], "edges": [], "symmetries": []}},
        {"skeleton": {"name": "s", "nodes": ["head", "tail"], "edges": [[0, 2]], "symmetries": []}},
        {"skeleton": None},
        {"heads": []},
        {"heads": HEADS[:1]},
        {"heads": [*HEADS, HEADS[0]]},
        {"heads": [{**HEADS[0], "channels": 3}, HEADS[1]]},
        {"heads": [{**HEADS[0], "stride": 4}, HEADS[1]]},
        {"heads": [{**HEADS[0], "is_map": False}, HEADS[1]]},
        {"heads": [{**HEADS[0], "name": "CentroidConfmapsHead"}, HEADS[1]]},
        {"heads": [{"name": "x"}]},
        {"kind": "bottomup"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_description_that_contradicts_itself(folder, changes):
    describe(folder, **changes)
    error = refused(folder)
    assert error.reason == "MODEL_CONFIG_INVALID"
    assert "shoal_model.json" in error.message


@pytest.mark.parametrize("changes", [{"version": 2}, {"kind": "topdown"}, {"kind": "x" * 9999}])
def test_what_this_version_does_not_know(folder, changes):
    describe(folder, **changes)
    assert refused(folder).reason == "MODEL_KIND_UNSUPPORTED"


@pytest.mark.parametrize("keep", [0, 1, 100])
def test_a_network_that_is_cut_off(folder, keep):
    path = folder / "network.onnx"
    path.write_bytes(path.read_bytes()[:keep])
    assert refused(folder).reason in ("MODEL_FILE_DAMAGED", "MODEL_KIND_UNSUPPORTED")


def test_a_network_that_is_something_else(folder):
    shutil.copy(folder / "parity.npz", folder / "network.onnx")
    error = refused(folder)
    assert error.reason == "MODEL_FILE_DAMAGED"
    assert "network.onnx" in error.message


def without_weights(model):
    del model.graph.initializer[:]


def of_other_size(model):
    model.graph.initializer[0].dims[0] += 1


def of_wrong_type(model):
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64


def in_a_circle(model):
    model.graph.node[0].input[0] = model.graph.output[-1].name


@pytest.mark.parametrize("change", [without_weights, of_other_size, of_wrong_type, in_a_circle])
def test_a_network_that_is_not_valid(folder, change):
    change_network(folder, change)
    assert refused(folder).reason == "MODEL_FILE_DAMAGED"


def with_weights_elsewhere(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def with_a_constant_elsewhere(model):
    tensor = helper.make_tensor("secret", TensorProto.FLOAT, [1], [0])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")
    model.graph.node.append(helper.make_node("Constant", [], ["secret"], value=tensor))


@pytest.mark.parametrize("change", [with_weights_elsewhere, with_a_constant_elsewhere])
def test_no_other_file_is_read(folder, change):
    change_network(folder, change)
    error = refused(folder)
    assert error.reason == "MODEL_FILE_UNSAFE"
    assert "inside" in error.message


def with_an_operator_of_its_own(model):
    model.graph.node[0].domain = "evil"
    model.opset_import.append(helper.make_opsetid("evil", 1))


def with_random_numbers(model):
    node = helper.make_node("RandomNormal", [], ["random"], shape=[1])
    model.graph.node.append(node)


def with_a_branch(model):
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["one"], value_float=1.0)],
        "inner",
        [],
        [helper.make_tensor_value_info("one", TensorProto.FLOAT, [])],
    )
    flag = helper.make_tensor("flag", TensorProto.BOOL, [], [True])
    model.graph.node.extend(
        [
            helper.make_node("Constant", [], ["flag"], value=flag),
            helper.make_node("If", ["flag"], ["chosen"], then_branch=inner, else_branch=inner),
        ]
    )


def with_functions(model):
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.functions.add(name="f", domain="own").opset_import.append(helper.make_opsetid("", 18))


def of_another_opset(model):
    model.opset_import[0].version = 17


def with_a_size_that_pixels_decide(model):
    model.graph.node.extend(
        [
            helper.make_node("Cast", ["input"], ["whole"], to=TensorProto.INT64),
            helper.make_node("Constant", [], ["flat"], value_ints=[-1]),
            helper.make_node("Reshape", ["whole", "flat"], ["sizes"]),
            helper.make_node("ConstantOfShape", ["sizes"], ["huge"]),
        ]
    )


@pytest.mark.parametrize(
    "change",
    [
        with_an_operator_of_its_own,
        with_random_numbers,
        with_a_branch,
        with_functions,
        of_another_opset,
        with_a_size_that_pixels_decide,
    ],
)
def test_graphs_that_are_not_served(folder, change):
    change_network(folder, change)
    error = refused(folder)
    assert error.reason == "MODEL_KIND_UNSUPPORTED"
    assert "network.onnx" in error.message


def takes_gray(model):
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 0
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "C"


def takes_more(model):
    model.graph.input.add().CopyFrom(
        helper.make_tensor_value_info("threshold", TensorProto.FLOAT, [1])
    )


def of_one_size(model):
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 160


def without_class_maps(model):
    del model.graph.output[1]


def gives_more(model):
    model.graph.output.add().CopyFrom(
        helper.make_tensor_value_info("ClassMapsHead.linear", TensorProto.FLOAT, ["B", 2, "h", "w"])
    )


@pytest.mark.parametrize(
    "change", [takes_gray, takes_more, of_one_size, without_class_maps, gives_more]
)
def test_a_network_of_another_run(folder, change):
    change_network(folder, change)
    error = refused(folder)
    assert error.reason == "MODEL_WEIGHTS_MISMATCH"
    assert "same training run" in error.message


@pytest.mark.parametrize(
    "changes",
    [
        {"images": np.zeros((1, 8, 8, 3), np.float32)},
        {"images": np.zeros((8, 8, 3), np.uint8)},
        {"images": np.zeros((0, 8, 8, 3), np.uint8)},
        {"images": np.zeros((17, 8, 8, 3), np.uint8)},
        {"images": np.zeros((2, 8, 8, 4), np.uint8)},
        {"images": np.zeros((2, 8000, 8000, 1), np.uint8)},
        {"points_px": np.zeros((2, 2, 3, 2), np.float32)},
        {"points_px": np.zeros((3, 2, 2, 2), np.float32)},
        {"points_px": np.zeros((2, 2, 2, 2), np.float64)},
        {"class_indices": np.zeros((2, 3), np.int64)},
        {"class_indices": np.full((2, 2), 2, np.int64)},
        {"class_indices": np.full((2, 2), -2, np.int64)},
        {"centroids_px": np.zeros((2, 2, 2), np.float32)},
        {"points_px": np.array({"code": 1}, object)},
    ],
    ids=range(14),
)
def test_frames_that_do_not_fit_the_model(folder, changes):
    change_parity(folder, **changes)
    error = refused(folder)
    assert error.reason == "MODEL_FILE_DAMAGED"
    assert "parity.npz" in error.message


@pytest.mark.parametrize("keep", [0, 100, -10])
def test_frames_that_are_cut_off(folder, keep):
    path = folder / "parity.npz"
    path.write_bytes(path.read_bytes()[:keep])
    assert refused(folder).reason == "MODEL_FILE_DAMAGED"


POINTS = shoal_models.parity(KIND)["points_px"]
NOBODY = np.full_like(POINTS[:, :1], np.nan)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"points_px": POINTS + np.float32(0.2)}, ["0.28", "median", "of 8 nodes"]),
        ({"points_px": np.concatenate([NOBODY, POINTS[:, 1:]], axis=1)}, ["2 instances", "1"]),
        ({"class_indices": np.array([[0, 1], [1, 0]])}, ["frame 1", "female"]),
        ({"class_indices": np.full((2, 2), -1)}, ["none"]),
    ],
)
def test_a_network_that_finds_something_else(folder, changes, words):
    change_parity(folder, **changes)
    error = refused(folder, FailedPrecondition)
    assert error.reason == "PARITY_FAILED"
    assert all(word in error.message for word in words), error.message


def test_one_node_far_off_or_missing_is_too_many(folder):
    for wrong in (POINTS[0, 0, 0] + 1, np.nan):
        points = POINTS.copy()
        points[0, 0, 0] = wrong
        change_parity(folder, points_px=points)
        assert refused(folder, FailedPrecondition).reason == "PARITY_FAILED"


def test_a_network_that_finds_nothing_is_not_taken_for_the_same(folder):
    change_parity(
        folder, images=np.zeros_like(shoal_models.parity(KIND)["images"]), points_px=POINTS * np.nan
    )
    error = refused(folder, FailedPrecondition)
    assert error.reason == "PARITY_EMPTY"
    assert "train it" in error.message


def test_weights_that_were_changed_afterwards(folder):
    def shift(model):
        weights = model.graph.initializer[0]
        weights.raw_data = bytes(np.zeros(6, np.float32))

    change_network(folder, shift)
    assert refused(folder, FailedPrecondition).reason == "PARITY_FAILED"
