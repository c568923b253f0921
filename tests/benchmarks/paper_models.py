"""Models of the size that SLEAP's paper measures, for any number of animals.

Their U-Nets are those of SLEAP's profiles `baseline.centroid` (input scale 0.5),
`baseline_medium_rf.topdown` (crops of 160 px) and `baseline_medium_rf.bottomup`, with 13 nodes.
All weights are random but those of channel 0, which passes the image on: an animal is a bright
spot, all of its nodes lie around it, and as many are found as were drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from shoal_common.inference.contract import PoseContract, Stage
from shoal_core.skeleton import Skeleton
from shoal_serving.graphs.body import Body, Head
from shoal_serving.graphs.network import Network
from shoal_serving.graphs.package import write_package
from shoal_serving.importing.onnx_network import OnnxNetwork
from tests.fakes import onnx_models
from tests.fakes.onnx_models import FLOAT

NODE_COUNT = 13
CROP_SIZE_PX = 160
_SPOT_PX = 6.0
SKELETON = Skeleton(
    name="spot",
    nodes=tuple(f"node{index}" for index in range(NODE_COUNT)),
    edges=tuple((index, index + 1) for index in range(NODE_COUNT - 1)),
)


@dataclass(frozen=True)
class UNet:
    """A U-Net of one of SLEAP's profiles."""

    stage: str
    filters: int
    max_stride: int
    heads: tuple[Head, ...]
    """From the coarsest to the finest."""
    input_scale: float = 1.0


CENTROID = UNet("centroid", 16, 16, (Head("CentroidConfmapsHead", 1, 2),), input_scale=0.5)
CENTERED_INSTANCE = UNet(
    "centered_instance", 24, 16, (Head("CenteredInstanceConfmapsHead", NODE_COUNT, 4),)
)
BOTTOM_UP = UNet(
    "bottomup",
    16,
    32,
    (
        Head("PartAffinityFieldsHead", 2 * (NODE_COUNT - 1), 8),
        Head("MultiInstanceConfmapsHead", NODE_COUNT, 4),
    ),
)
KINDS: dict[str, tuple[UNet, ...]] = {
    "topdown": (CENTROID, CENTERED_INSTANCE),
    "centroid": (CENTROID,),
    "centered_instance": (CENTERED_INSTANCE,),
    "bottomup": (BOTTOM_UP,),
}


@dataclass
class _Graph:
    """An ONNX file in the making."""

    nodes: list[helper.NodeProto] = field(default_factory=list)
    constants: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def add(self, kind: str, inputs: Sequence[str], name: str = "", **attributes: object) -> str:
        """Adds a node; returns the name of its output."""
        name = name or f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: NDArray[np.generic]) -> str:
        """Adds a constant; returns its name."""
        name = f"constant{len(self.constants)}"
        self.constants[name] = value
        return name

    def block(self, x: str, inputs: int, outputs: int) -> str:
        """Two convolutions with ReLU; channel 0 of their input is channel 0 of their output."""
        for channels in (inputs, outputs):
            scale = np.sqrt(2 / (9 * channels))
            weights = self.random.standard_normal((outputs, channels, 3, 3)) * scale
            weights[0] = 0
            weights[0, 0, 1, 1] = 1
            x = self.conv(x, weights, np.zeros(outputs), pads=[1, 1, 1, 1])
            x = self.add("Relu", [x])
        return x

    def conv(
        self, x: str, weights: NDArray[np.float64], bias: NDArray[np.float64],
        name: str = "", **attributes: object,
    ) -> str:  # fmt: skip
        """A convolution."""
        constants = [self.constant(one.astype(np.float32)) for one in (weights, bias)]
        return self.add("Conv", [x, *constants], name, **attributes)


def _network(net: UNet) -> bytes:
    graph = _Graph()
    heads = {head.stride: head for head in net.heads}
    x, channels, stride, filters = "input", 1, 1, net.filters
    skips: list[tuple[str, int]] = []
    while stride < net.max_stride:
        x = graph.block(x, channels, filters)
        skips.append((x, filters))
        x = graph.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
        channels, filters, stride = filters, 2 * filters, 2 * stride
    x = graph.block(x, channels, filters)
    channels = filters
    factors = graph.constant(np.array([1, 1, 2, 2], np.float32))
    while stride > min(heads):
        x = graph.add("Resize", [x, "", factors], mode="linear")
        skip, skip_channels = skips.pop()
        x = graph.block(
            graph.add("Concat", [skip, x], axis=1), skip_channels + channels, skip_channels
        )
        channels, stride = skip_channels, stride // 2
        if stride in heads:
            _add_head(graph, x, channels, heads[stride])
    return onnx_models.graph(
        graph.nodes,
        {"input": (FLOAT, ["B", 1, "H", "W"])},
        {
            head.name: (FLOAT, ["B", head.channels, f"{head.name}_h", f"{head.name}_w"])
            for head in net.heads
        },
        graph.constants,
    )


def _add_head(graph: _Graph, x: str, channels: int, head: Head) -> None:
    """Fields point to the right everywhere; each node sees the spot moved by a pixel of the map."""
    if head.name.startswith("PartAffinityFields"):
        bias = np.tile([1.0, 0.0], head.channels // 2)
        graph.conv(x, np.zeros((head.channels, channels, 1, 1)), bias, head.name)
        return
    weights = np.zeros((head.channels, channels, 3, 3))
    for node in range(head.channels):
        row, column = (1, 1) if head.channels == 1 else (node // 3 % 3, node % 3)
        weights[node, 0, row, column] = 1
    graph.conv(x, weights, np.zeros(head.channels), head.name, pads=[1, 1, 1, 1])


def write_paper_model(folder: Path, kind: str) -> None:
    """Writes a version folder, as an import does, of one of KINDS."""
    nets = KINDS[kind]
    networks = []
    for net in nets:
        path = folder.parent / f"{net.stage}.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_network(net))
        stage = Stage(
            name=net.stage,
            input_scale=net.input_scale,
            max_stride=net.max_stride,
            output_strides={head.name: head.stride for head in net.heads},
            refinement="integral",
        )
        emit = OnnxNetwork(path, 1, net.heads).emit
        networks.append(Network(stage, Body(1, net.max_stride, net.heads, emit)))
        path.unlink()
    sees_crops = nets[-1] is CENTERED_INSTANCE
    contract = PoseContract(
        family="parts" if kind == "bottomup" else "instances",
        kind=kind,  # type: ignore[arg-type]  # a key of KINDS
        skeleton=Skeleton(name="spot", nodes=("spot",)) if kind == "centroid" else SKELETON,
        channels=1,
        stages=tuple(network.stage for network in networks),
        crop_size_px=CROP_SIZE_PX if sees_crops else None,
        crop_peak_threshold=0.2 if len(nets) == 2 else None,
    )
    write_package(folder, contract, networks)


def spots(side_px: int, animals: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Returns a frame [H, W, 1] and its animals' centres [I, 2], far from one another."""
    across = int(np.ceil(np.sqrt(animals)))
    step = side_px / across
    centres = np.array(
        [((i % across + 0.5) * step, (i // across + 0.5) * step) for i in range(animals)],
        np.float32,
    )
    y, x = np.mgrid[:side_px, :side_px]
    frame = np.zeros((side_px, side_px))
    for left, top in centres:
        frame += np.exp(-((x - left) ** 2 + (y - top) ** 2) / (2 * _SPOT_PX**2))
    return (255 * frame).round().clip(0, 255).astype(np.uint8)[..., None], centres
