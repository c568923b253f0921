"""The model folder: what PyTorch computes, in a graph for images of any size."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from shoal_core.errors import InvalidArgument
from shoal_core.skeleton import Skeleton
from shoal_training.config import DataConfig, TrainingConfig
from shoal_training.export import ModelDescription, ParityFrames, export_model
from shoal_training.export.onnx_graph import export_graph
from shoal_training.model_spec import model_spec
from shoal_training.networks import PoseNetwork
from tests.unit.training.tiny_networks import CONFIGS, HEADS, SOFTMAX_HEADS, tiny_network

SKELETON = Skeleton("fly", ("head", "thorax", "abdomen"), ((0, 1), (1, 2)))
PARITY = ParityFrames(
    images_FHWC=np.zeros((1, 32, 32, 1), np.uint8),
    points_px_FIN2=np.full((1, 1, 3, 2), np.nan, np.float32),
)


def _describe(network: PoseNetwork, **data: object) -> ModelDescription:
    config = TrainingConfig(kind="centered_instance", data=DataConfig(labels=("a.slp",), **data))
    return ModelDescription(
        spec=model_spec(config, network, SKELETON),
        name="",
        training_data_hash="ab" * 32,
        evaluation={"oks_map": 0.5},
    )


QUICK = ("compact", "unet_finer")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in sorted(CONFIGS)
    ],
)
def network(request: pytest.FixtureRequest) -> PoseNetwork:
    made = tiny_network(request.param, (*SOFTMAX_HEADS, HEADS[1]))
    # Statistics other than those that normalisation begins with, so that they have to be right.
    made.train()(torch.rand(4, 1, 2 * made.max_stride, 2 * made.max_stride))
    return made.eval()


@pytest.fixture(scope="module")
def graph(network: PoseNetwork) -> onnx.ModelProto:
    return export_graph(network)


def test_the_graph_computes_what_torch_computes_at_every_size(
    network: PoseNetwork, graph: onnx.ModelProto
) -> None:
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    generator = torch.Generator().manual_seed(3)
    for batch, rows, columns in [(1, 1, 1), (3, 2, 1), (2, 1, 3)]:
        size = (rows * network.max_stride, columns * network.max_stride)
        images = torch.rand(batch, 1, *size, generator=generator)
        with torch.no_grad():
            expected = network.inference_network()(images)
        made = session.run(None, {"input": images.numpy()})
        assert names == list(expected)
        for name, maps in zip(names, made, strict=True):
            np.testing.assert_allclose(maps, expected[name].numpy(), atol=1e-5, err_msg=name)


def test_the_graph_is_plain(graph: onnx.ModelProto) -> None:
    assert [(opset.domain, opset.version) for opset in graph.opset_import] == [("", 18)]
    assert not graph.functions
    assert all(node.domain == "" for node in graph.graph.node)
    depends_on_values = {"NonZero", "Loop", "If", "Scan", "NonMaxSuppression", "Unique"}
    assert not depends_on_values & {node.op_type for node in graph.graph.node}
    axes = graph.graph.input[0].type.tensor_type.shape.dim
    assert [axis.dim_param or axis.dim_value for axis in axes] == ["B", 1, "H", "W"]


def test_the_graph_says_nothing_about_the_machine_that_made_it(graph: onnx.ModelProto) -> None:
    written = graph.SerializeToString()
    assert not [word for word in (b"site-packages", b"shoal_training", b"File ") if word in written]


def test_exporting_leaves_the_network_as_it_was(
    network: PoseNetwork, graph: onnx.ModelProto
) -> None:
    assert graph.graph.node
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder in the place of another, alone in its folder."""
    folder = tmp_path_factory.mktemp("run") / "model"
    folder.mkdir()
    (folder / "of_another_run").touch()
    network = tiny_network("unet", SOFTMAX_HEADS).train()
    export_model(network, _describe(network, crop_size_px=96), PARITY, folder)
    assert network.training
    return folder


def test_a_folder_says_what_its_graph_gives(exported: Path) -> None:
    document = json.loads((exported / "shoal_model.json").read_text())
    graph = onnx.load(exported / "network.onnx")
    heads = [head["name"] for head in document["heads"]]
    assert heads == [output.name for output in graph.graph.output]
    assert (document["format"], document["version"]) == ("shoal-model", 1)
    assert document["skeleton"]["edges"] == [[0, 1], [1, 2]]
    assert (document["refinement"], document["peak_threshold"]) == ("offsets", 0.0)
    assert document["crop_size_px"] == 96
    with np.load(exported / "parity.npz") as parity:
        assert sorted(parity) == ["images", "points_px"]


def test_confidence_maps_keep_sleaps_threshold_and_refinement() -> None:
    document = json.loads(_describe(tiny_network("unet"), crop_size_px=96).to_json())
    assert (document["refinement"], document["peak_threshold"]) == ("integral", 0.2)


def test_a_folder_that_is_there_is_replaced_and_nothing_is_left_beside(exported: Path) -> None:
    assert [path.name for path in exported.parent.iterdir()] == ["model"]
    assert sorted(path.name for path in exported.iterdir()) == [
        "network.onnx",
        "parity.npz",
        "shoal_model.json",
    ]


def test_a_crop_size_that_is_not_known_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        _describe(tiny_network("unet"))
    assert caught.value.reason == "CROP_SIZE_MISSING"
