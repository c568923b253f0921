"""The network of a sleap-nn model as an ONNX graph: a UNet with its heads.

What the names and shapes of the tensors leave open was found with trained models, as the one
reading under which their maps are the maps of the labels. Encoder blocks are convolutions with
ReLU, each block followed by 2×2 max-pooling; the middle block is one more without pooling. A
decoder block doubles the size, either by a transposed convolution (padding 1, output padding
1) with ReLU, or bilinearly with half-pixel centres; then the encoder's feature is put **before**
it, and convolutions with ReLU follow. Confidence maps and part affinity fields are linear;
class maps are logits (around ±40 on labelled animals), so a sigmoid follows here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument
from shoal_serving.graphs.body import Body, Head
from shoal_serving.graphs.builder import FLOAT, GraphBuilder, Value
from shoal_serving.graphs.network import CLASS_HEAD
from shoal_serving.importing.torch_config import CONFIG_FILE, TorchConfig, TorchHead

WEIGHTS_FILE = "best.ckpt"
_BACKBONE = "model.backbone"

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class _Feature:
    value: Value
    channels: int


def make_torch_body(config: TorchConfig, weights: Weights) -> Body:
    """Returns the network of a sleap-nn model folder.

    Raises:
        InvalidArgument: MODEL_WEIGHTS_MISMATCH when the tensors are not those of the configured
            network, MODEL_CONFIG_INVALID when a head has a stride that the network has not.
    """
    network = _Network(config, weights)
    network.check()
    heads = tuple(Head(head.name, head.channels, head.stride) for head in config.heads)
    return Body(network.channels, config.unet.max_stride, heads, network.emit)


class _Network:
    """Walks the network in the order of its layers; each walk fills one builder."""

    def __init__(self, config: TorchConfig, weights: Weights) -> None:
        self._config = config
        self._unet = config.unet
        self._weights = weights
        self._unused: set[str] = set()
        first = weights.get(
            f"{_BACKBONE}.encoders.0.encoder_stack.0.blocks.stack0_enc0_conv0.weight"
        )
        self.channels = 1 if first is None or first.ndim != 4 else first.shape[1]

    def check(self) -> None:
        """Walks once; every tensor must have its place, and every place its tensor."""
        self._unused = set(self._weights)
        graph = GraphBuilder("check")
        self.emit(graph, graph.input("input", FLOAT, ("B", self.channels, "H", "W")))
        if self._unused:
            raise self._mismatch(f"holds {min(self._unused)!r}, which that network does not have")
        if self.channels not in (1, 3):
            raise self._mismatch(f"holds a network that sees {self.channels} channels")

    def emit(self, graph: GraphBuilder, image: Value) -> dict[str, Value]:
        """Adds the network to a graph; returns the heads' maps."""
        features = self._features(graph, _Feature(image, self.channels))
        return {head.name: self._head(graph, head, features) for head in self._config.heads}

    def _features(self, graph: GraphBuilder, feature: _Feature) -> dict[int, _Feature]:
        """Returns the features that heads may stand on, by stride."""
        depth = self._unet.max_stride.bit_length() - 1
        skips = []
        for block in range(depth):
            for index in range(self._unet.convs_per_block):
                path = f"encoders.0.encoder_stack.{block}.blocks.stack0_enc{block}_conv{index}"
                feature = self._conv(graph, path, feature)
            skips.append(feature)
            pooled = graph.op("MaxPool", feature.value, kernel_shape=[2, 2], strides=[2, 2])
            feature = _Feature(pooled, feature.channels)
        for index in range(self._unet.convs_per_block - 1):
            path = f"middle_blocks.0.blocks.stack0_enc{depth + 1}_middle_expand_conv{index}"
            feature = self._conv(graph, path, feature)
        path = f"middle_blocks.1.blocks.stack0_enc{depth + 2}_middle_contract_conv0"
        feature = self._conv(graph, path, feature)
        stride = self._unet.max_stride
        features = {stride: feature}
        while stride > self._unet.output_stride:
            feature = self._decode(graph, stride, depth - len(skips), feature, skips.pop())
            stride //= 2
            features[stride] = feature
        return features

    def _decode(
        self, graph: GraphBuilder, stride: int, block: int, feature: _Feature, skip: _Feature
    ) -> _Feature:
        name = f"stack0_dec{block}_s{stride}_to_s{stride // 2}"
        path = f"decoders.0.decoder_stack.{block}.blocks.{name}"
        if self._unet.up_interpolate:
            larger = _Feature(_double(graph, feature.value), feature.channels)
        else:
            larger = self._transposed(graph, f"{path}_trans_conv", feature)
        joined = graph.concat([skip.value, larger.value], axis=1)
        feature = _Feature(joined, skip.channels + larger.channels)
        for index in range(self._unet.convs_per_block):
            feature = self._conv(graph, f"{path}_refine_conv{index}", feature)
        return feature

    def _conv(self, graph: GraphBuilder, path: str, feature: _Feature) -> _Feature:
        size = self._unet.kernel_size
        name = f"{_BACKBONE}.{path}"
        kernel = self._weight(f"{name}.weight", (None, feature.channels, size, size))
        if feature.channels == 3 and path.endswith("enc0_conv0") and self._config.sees_bgr:
            kernel = kernel[:, ::-1]
        value = self._convolve(graph, name, feature.value, kernel)
        return _Feature(graph.op("Relu", value), len(kernel))

    def _transposed(self, graph: GraphBuilder, path: str, feature: _Feature) -> _Feature:
        name = f"{_BACKBONE}.{path}"
        kernel = self._weight(f"{name}.weight", (feature.channels, None, 3, 3))
        bias = self._weight(f"{name}.bias", (kernel.shape[1],))
        with graph.scope(path.rpartition(".")[2]):
            value = graph.op(
                "ConvTranspose",
                feature.value,
                graph.constant(kernel, FLOAT),
                graph.constant(bias, FLOAT),
                kernel_shape=[3, 3],
                strides=[2, 2],
                pads=[1, 1, 1, 1],
                output_padding=[1, 1],
            )
            return _Feature(graph.op("Relu", value), kernel.shape[1])

    def _head(
        self, graph: GraphBuilder, head: TorchHead, features: Mapping[int, _Feature]
    ) -> Value:
        feature = features.get(head.stride)
        if feature is None:
            raise InvalidArgument(
                "MODEL_CONFIG_INVALID",
                f"{self._config.folder}: {head.name} has output_stride {head.stride}, but the "
                f"backbone has {', '.join(map(str, features))}; copy {CONFIG_FILE} from the "
                "training run again.",
                head=head.name,
            )
        name = f"model.head_layers.{head.index}.{head.class_name}.0"
        kernel = self._weight(f"{name}.weight", (head.channels, feature.channels, 1, 1))
        value = self._convolve(graph, name, feature.value, kernel)
        return graph.op("Sigmoid", value) if head.class_name == CLASS_HEAD else value

    def _convolve(
        self, graph: GraphBuilder, name: str, value: Value, kernel: NDArray[np.float32]
    ) -> Value:
        size = kernel.shape[2]
        bias = self._weight(f"{name}.bias", (len(kernel),))
        with graph.scope(name.removeprefix("model.").replace(".", "_")):
            return graph.op(
                "Conv",
                value,
                graph.constant(kernel, FLOAT),
                graph.constant(bias, FLOAT),
                kernel_shape=[size, size],
                pads=[size // 2] * 4,
            )

    def _weight(self, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
        """Returns a tensor after checking its shape (None fits any length)."""
        array = self._weights.get(name)
        if array is None:
            raise self._mismatch(f"has no {name}")
        fits = array.ndim == len(shape) and all(
            expected in (None, actual) for expected, actual in zip(shape, array.shape, strict=True)
        )
        if not fits:
            expected = "x".join("?" if length is None else str(length) for length in shape)
            actual = "x".join(map(str, array.shape))
            raise self._mismatch(f"holds {name} of shape {actual} where {expected} is needed")
        self._unused.discard(name)
        return array

    def _mismatch(self, problem: str) -> InvalidArgument:
        folder = self._config.folder
        return InvalidArgument(
            "MODEL_WEIGHTS_MISMATCH",
            f"{folder}: {WEIGHTS_FILE} {problem[:200]}, unlike the network that {CONFIG_FILE} "
            "describes; copy both files from the same training run.",
            folder=folder,
        )


def _double(graph: GraphBuilder, value: Value) -> Value:
    absent = Value(graph, "", FLOAT)
    scales = graph.constant([1, 1, 2, 2], FLOAT)
    return graph.op(
        "Resize",
        value,
        absent,
        scales,
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )
