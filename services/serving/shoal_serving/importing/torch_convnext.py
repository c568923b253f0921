"""The encoder of "A ConvNet for the 2020s" (arXiv 2201.03545)."""

from shoal_serving.importing.torch_layers import Feature, TorchLayers
from shoal_serving.importing.torch_patches import STAGES

_EPSILON = 1e-6
_KERNEL_SIZE = 7


def encode_convnext(
    layers: TorchLayers, name: str, image: Feature, patch_stride: int
) -> tuple[Feature, list[Feature]]:
    """Returns the encoder's last feature, and what each stage begins with.

    Between stages, a normalised 2×2 convolution halves the size.
    """
    features = f"{name}.features"
    feature = layers.patches(f"{features}.0.0", image, patch_stride, 1)
    feature = layers.normalized(f"{features}.0.1", feature, _EPSILON)
    starts = [feature]
    for stage in range(STAGES):
        if stage:
            feature = layers.normalized(f"{features}.{2 * stage}.0", feature, _EPSILON)
            feature = layers.patches(f"{features}.{2 * stage}.1", feature, 2, 0)
            starts.append(feature)
        block = 0
        while f"{features}.{2 * stage + 1}.{block}.layer_scale" in layers.tensors:
            feature = _block(layers, f"{features}.{2 * stage + 1}.{block}", feature)
            block += 1
    return feature, starts


def _block(layers: TorchLayers, name: str, feature: Feature) -> Feature:
    """Returns the feature plus what a wide kernel for each channel and two dense layers make."""
    inner = layers.depthwise(f"{name}.block.0", feature, _KERNEL_SIZE)
    inner = layers.normalized(f"{name}.block.2", inner, _EPSILON)
    inner = layers.gelu(layers.pointwise(f"{name}.block.3", inner))
    inner = layers.pointwise(f"{name}.block.5", inner)
    scale = layers.tensors.take(f"{name}.layer_scale", (feature.channels, 1, 1))
    return Feature(feature.value + inner.value * scale, feature.channels)
