"""A folder for sleap-nn is one that Shoal's own importer of sleap-nn models takes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from shoal_core.errors import InvalidArgument
from shoal_core.skeleton import Skeleton
from shoal_serving.graphs.builder import FLOAT, GraphBuilder
from shoal_serving.importing.torch_folder import read_torch_folder
from shoal_training.config import (
    ClassMapsHead,
    ClassVectorsHead,
    ConfmapsHead,
    DataConfig,
    HeadsConfig,
    LeapConfig,
    ModelKind,
    PafsHead,
    TrainingConfig,
    UNetConfig,
)
from shoal_training.export.sleap_nn import export_sleap_nn
from shoal_training.heads import OFFSETS_HEAD, head_specs
from shoal_training.model_spec import ModelSpec, model_spec
from shoal_training.networks import PoseNetwork, build_network

SKELETON = Skeleton("fly", ("head", "thorax", "wing"), ((0, 1), (1, 2)), ((0, 2),))
HEADS = HeadsConfig(
    confmaps=ConfmapsHead(offset_refinement=True),
    pafs=PafsHead(),
    class_maps=ClassMapsHead(output_stride=2),
    class_vectors=ClassVectorsHead(layers=(8, 8)),
)
UNET = UNetConfig(filters=4, filters_rate=1.5, max_stride=8)
KINDS: tuple[ModelKind, ...] = (
    "single_instance",
    "centroid",
    "centered_instance",
    "bottomup",
    "multiclass_bottomup",
    "multiclass_centered_instance",
)


def _trained(kind: ModelKind) -> tuple[PoseNetwork, TrainingConfig, ModelSpec]:
    config = TrainingConfig(
        kind=kind,
        data=DataConfig(labels=("a.slp",), crop_size_px=96, anchor_part="thorax"),
        network=UNET,
        heads=HEADS,
    )
    torch.manual_seed(4)
    network = build_network(UNET, 1, head_specs(kind, HEADS, SKELETON, 2)).eval()
    return network, config, model_spec(config, network, SKELETON, ("female", "male"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_importer_reads_the_same_network(kind: ModelKind, tmp_path: Path) -> None:
    network, config, spec = _trained(kind)
    export_sleap_nn(network, config, spec, tmp_path / "model")
    model = read_torch_folder(tmp_path / "model")
    assert model.network.stage.name == kind
    assert model.anchor_part == ("thorax" if spec.sees_crops or kind == "centroid" else None)
    assert model.crop_size_px == spec.crop_size_px
    assert model.classes == spec.classes

    builder = GraphBuilder("body")
    made = model.network.body.emit(builder, builder.input("input", FLOAT, ("B", 1, "H", "W")))
    for name, value in made.items():
        builder.output(f"out_{name}", value, ())
    graph = builder.model()

    for output in graph.graph.output:
        output.type.tensor_type.ClearField("shape")
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    images = torch.rand(2, 1, 32, 48, generator=torch.Generator().manual_seed(5))
    outputs = session.run(None, {"input": images.numpy()})
    with torch.no_grad():
        expected = network.inference_network()(images)
    expected.pop(OFFSETS_HEAD)
    assert len(outputs) == len(expected)
    for output, (name, maps) in zip(outputs, expected.items(), strict=True):
        np.testing.assert_allclose(output, maps.numpy(), atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("network", "cure"),
    [
        (LeapConfig(), "network.type unet"),
        (replace(UNET, upsampling="transposed"), "network.upsampling bilinear"),
        (replace(UNET, stem_stride=2), "network.stem_stride 1"),
        (replace(UNET, skip="add"), "network.skip concatenate"),
        (replace(UNET, convolutions_per_block=3), "network.convolutions_per_block 2"),
    ],
)
def test_what_sleap_nn_would_compute_otherwise_is_refused(
    network: UNetConfig, cure: str, tmp_path: Path
) -> None:
    trained, config, spec = _trained("bottomup")
    with pytest.raises(InvalidArgument, match=cure) as caught:
        export_sleap_nn(trained, replace(config, network=network), spec, tmp_path / "model")
    assert caught.value.reason == "EXPORT_UNSUPPORTED"
    assert not (tmp_path / "model").exists()


def test_softmax_maps_are_refused(tmp_path: Path) -> None:
    trained, config, spec = _trained("centered_instance")
    heads = replace(HEADS, confmaps=ConfmapsHead(loss="softmax"))
    with pytest.raises(InvalidArgument, match=r"heads\.confmaps\.loss mse"):
        export_sleap_nn(trained, replace(config, heads=heads), spec, tmp_path / "model")
