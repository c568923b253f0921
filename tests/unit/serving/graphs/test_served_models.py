"""Laws of the served version folder, for every kind of model."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from shoal_common.inference.chain import CHAIN_FILE, COMPOSED_FILE, CONTRACT_FILE
from shoal_common.inference.contract import CROP_STAGES, PoseContract
from shoal_core.errors import InvalidArgument
from shoal_serving.graphs.package import write_package
from shoal_serving.importing.keras_folder import read_keras_folder
from tests.unit.serving.graphs.running import read_frames, read_gray_frames
from tests.unit.serving.graphs.served_models import FOLDERS

KINDS = list(FOLDERS)
DATA_DEPENDENT = {"NonZero", "NonMaxSuppression", "Loop", "If", "Scan", "Unique", "Compress"}


@pytest.fixture(scope="module")
def pair_frames(shared_data):
    return read_gray_frames(shared_data / "pair" / "centered_pair_small.mp4", range(100, 104))


@pytest.fixture(scope="module")
def request_of(shared_data, pair_frames):
    """Makes a request of real frames for a kind."""

    def make(kind):
        if kind == "single_instance":
            return {"images": read_frames(shared_data / "robot" / "small_robot.mp4", [0, 79])}
        if kind == "multiclass_bottomup":
            return {"images": read_gray_frames(shared_data / "flies_clip" / "clip.mp4", [0, 400])}
        if kind in CROP_STAGES:
            centroids = np.full((4, 5, 2), np.nan, np.float32)
            centroids[:, 1], centroids[1:, 3] = (122.5, 180.2), (242.1, 195.6)
            return {"images": pair_frames, "centroids": centroids}
        return {"images": pair_frames}

    return make


def assert_same(made, expected, tolerance=1e-4):
    assert set(made) == set(expected)
    for name, array in expected.items():
        assert made[name].dtype == array.dtype, name
        np.testing.assert_allclose(made[name], array, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_the_composed_graph_computes_what_the_chain_computes(served_models, request_of, kind):
    model, request = served_models[kind], request_of(kind)
    made = model.run(**request)
    counts = made.get("instance_counts", made.get("peak_counts"))
    assert counts.sum() > 0
    assert_same(model.run_composed(**request), made)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_do_not_influence_one_another(served_models, request_of, kind):
    model, request = served_models[kind], request_of(kind)
    together = model.run(**request)
    for index in range(len(request["images"])):
        one = model.run(**{name: array[index : index + 1] for name, array in request.items()})
        expected = {name: array[index : index + 1] for name, array in together.items()}
        assert_same(one, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_composed_graphs_have_no_data_dependent_shapes(served_models, kind):
    graph = onnx.load(served_models[kind].folder / COMPOSED_FILE)
    assert not DATA_DEPENDENT & {node.op_type for node in graph.graph.node}


@pytest.mark.parametrize("kind", KINDS)
def test_glue_is_float32_and_bodies_are_apart(served_models, kind):
    model = served_models[kind]
    bodies = [step.name for step in model.chain.steps if step.kind == "body"]
    assert bodies == [stage.name for stage in model.contract.stages]
    for step in model.chain.steps:
        part = onnx.load(model.folder / step.file)
        if step.kind == "glue":
            assert "Conv" not in {node.op_type for node in part.graph.node}
        types = {tensor.data_type for tensor in part.graph.initializer}
        assert not types & {onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16}


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_have_the_shapes_of_the_contract(served_models, request_of, kind):
    model, request = served_models[kind], request_of(kind)
    contract, made = model.contract, model.run(**request)
    batch, nodes = len(request["images"]), len(contract.skeleton.nodes)
    if contract.family == "parts":
        places = contract.max_peaks_per_node
        shapes = {
            "peaks": (batch, nodes, places, 2),
            "peak_values": (batch, nodes, places),
            "peak_counts": (batch, nodes),
        }
        if kind == "bottomup":
            shapes["edge_scores"] = (batch, len(contract.skeleton.edges), places, places)
        else:
            shapes["class_probabilities"] = (batch, nodes, places, len(contract.classes))
    else:
        slots = 5 if contract.takes_centroids else contract.max_instances
        shapes = {
            "instance_peaks": (batch, slots, nodes, 2),
            "instance_peak_values": (batch, slots, nodes),
            "instance_scores": (batch, slots),
            "instance_counts": (batch,),
        }
        if contract.classes:
            shapes["class_probabilities"] = (batch, slots, len(contract.classes))
    assert {name: array.shape for name, array in made.items()} == shapes | {"overflow": (batch,)}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "bottomup" not in kind])
def test_instances_come_first_and_the_rest_is_empty(served_models, request_of, kind):
    made = served_models[kind].run(**request_of(kind))
    for frame, count in enumerate(made["instance_counts"]):
        found = ~np.isnan(made["instance_peaks"][frame]).any(-1)
        assert found[:count].any(-1).all()
        assert not found[count:].any()
        assert np.array_equal(made["instance_peak_values"][frame] > 0, found)
        assert np.array_equal(made["instance_scores"][frame] > 0, np.arange(len(found)) < count)


@pytest.mark.parametrize("composed", [False, True])
@pytest.mark.parametrize(
    "kind", ["single_instance", "centroid", "topdown", "multiclass_topdown", "bottomup"]
)
def test_no_animal_is_no_error(served_models, request_of, kind, composed):
    model, request = served_models[kind], request_of(kind)
    batch = len(request["images"])
    request["peak_threshold"] = np.full((batch, 1), 100, np.float32)
    made = model.run_composed(**request) if composed else model.run(**request)
    counts = made.get("instance_counts", made.get("peak_counts"))
    assert not counts.any()
    assert not made["overflow"].any()
    points = made.get("instance_peaks", made.get("peaks"))
    assert np.isnan(points).all()


@pytest.mark.parametrize("slots", [0, 3])
@pytest.mark.parametrize("composed", [False, True])
@pytest.mark.parametrize("kind", CROP_STAGES)
def test_no_centroid_is_no_error(served_models, pair_frames, slots, composed, kind):
    model = served_models[kind]
    request = {
        "images": pair_frames,
        "centroids": np.full((len(pair_frames), slots, 2), np.nan, np.float32),
    }
    made = model.run_composed(**request) if composed else model.run(**request)
    assert made["instance_counts"].tolist() == [0] * len(pair_frames)


@pytest.mark.parametrize("composed", [False, True])
@pytest.mark.parametrize("kind", ["multiclass_centered_instance", "multiclass_topdown"])
def test_class_probabilities_go_with_their_instances(served_models, request_of, kind, composed):
    model, request = served_models[kind], request_of(kind)
    made = model.run_composed(**request) if composed else model.run(**request)
    totals = made["class_probabilities"].sum(axis=2)
    places = np.arange(totals.shape[1]) < made["instance_counts"][:, None]
    np.testing.assert_allclose(totals, places, atol=1e-5)


def test_classes_do_not_change_the_nodes(served_models, request_of):
    request = request_of("topdown")
    without = served_models["topdown"].run(**request)
    made = served_models["multiclass_topdown"].run(**request)
    del made["class_probabilities"]
    assert_same(made, without)


def test_a_limit_on_instances_waits_until_their_classes_are_known(served_models, request_of):
    model, request = served_models["multiclass_topdown"], request_of("multiclass_topdown")
    one = np.ones((len(request["images"]), 1), np.int32)
    assert_same(model.run(**request, max_instances=one), model.run(**request))


def test_as_many_crops_as_animals_run(served_models, pair_frames):
    values = served_models["topdown"].values(images=pair_frames)
    assert len(values["centered_instance_input"]) == (values["slot_scores"] > 0).sum()


@pytest.mark.parametrize("composed", [False, True])
def test_max_instances_keeps_the_best_of_each_frame(served_models, pair_frames, composed):
    model = served_models["topdown"]
    run = model.run_composed if composed else model.run
    free = run(images=pair_frames)
    limits = np.array([[1], [20], [2], [0]], np.int32)
    made = run(images=pair_frames, max_instances=limits)
    expected = np.minimum(free["instance_counts"], limits[:, 0])
    assert np.array_equal(made["instance_counts"], expected)
    for frame, count in enumerate(expected):
        best = free["instance_peaks"][frame, :count]
        np.testing.assert_allclose(made["instance_peaks"][frame, :count], best, atol=1e-3)
    assert not made["overflow"].any()


def test_more_peaks_than_places_raise_the_overflow(served_models, request_of):
    made = served_models["bottomup"].run(
        **request_of("bottomup") | {"peak_threshold": np.array([[0], [0], [0.2], [0.2]], "f4")}
    )
    assert made["overflow"].tolist() == [1, 1, 0, 0]
    assert made["peak_counts"][0].max() == 20


def test_a_gray_model_takes_color_frames(served_models, pair_frames):
    model = served_models["bottomup"]
    assert_same(model.run(images=pair_frames.repeat(3, axis=3)), model.run(images=pair_frames))


def test_sizes_that_no_stride_divides_are_padded(served_models, pair_frames):
    whole = served_models["bottomup"].run(images=pair_frames)
    bigger = np.zeros((len(pair_frames), 389, 391, 1), np.uint8)
    bigger[:, :384, :384] = pair_frames
    made = served_models["bottomup"].run(images=bigger)
    assert made["peak_counts"].shape == whole["peak_counts"].shape
    np.testing.assert_allclose(made["peaks"][:, :, 0], whole["peaks"][:, :, 0], atol=0.1)


def test_the_contract_survives_the_folder(served_models):
    model = served_models["topdown"]
    assert sorted(path.name for path in model.folder.iterdir()) == sorted(
        [CHAIN_FILE, CONTRACT_FILE, COMPOSED_FILE, *(step.file for step in model.chain.steps)]
    )
    assert PoseContract.from_json(model.contract.to_json()) == model.contract


def test_a_failed_write_leaves_nothing_behind(served_models, tmp_path):
    contract = replace(served_models["centered_instance"].contract, crop_size_px=None)
    (source,) = served_models.sources("centered_instance")
    with pytest.raises(InvalidArgument):
        write_package(tmp_path / "v1", contract, [read_keras_folder(source).network])
    assert not list(tmp_path.iterdir())
