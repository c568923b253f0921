"""Ready sweeps: the studies of SLEAP's paper (Pereira et al., Nature Methods 2022)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DEFAULT_METRIC = "poses.map"
"""Figure of `metrics.json` that decides, unless another one is asked for."""


@dataclass(frozen=True)
class Study:
    """What varies, and what stays the same but is not the recipe's."""

    key: str
    values: Sequence[Any]
    """JSON values."""
    title: str
    """What the values are, for the axis of a figure."""
    settings: tuple[str, ...] = ()
    """KEY=VALUE."""
    is_logarithmic: bool = False
    """Whether the axis of the values is."""


def _encoder(name: str) -> dict[str, Any]:
    return {"type": "pretrained", "encoder": name}


_STRIDE_4 = ("heads.confmaps.output_stride=4", "heads.confmaps.offset_refinement=true")

STUDIES: Mapping[str, Study] = {
    "sample-efficiency": Study(
        key="data.limit",
        values=(5, 10, 20, 50, 100, 200),
        title="Labelled frames for training",
        is_logarithmic=True,
    ),
    "receptive-field": Study(
        key="network.max_stride",
        values=(4, 8, 16, 32, 64),
        title="Maximum stride of the encoder",
        settings=("network.type=unet",),
        is_logarithmic=True,
    ),
    "backbones": Study(
        key="network",
        values=(
            {"type": "unet", "output_stride": 4},
            {"type": "hourglass", "output_stride": 4},
            {"type": "leap", "output_stride": 4},
            {"type": "resnet", "output_stride": 4},
            _encoder("densenet121"),
            _encoder("efficientnet_b0"),
            _encoder("mobilenetv3_large_100"),
            _encoder("convnext_tiny"),
        ),
        title="Backbone",
        settings=_STRIDE_4,
    ),
}
"""By the name after --study."""


def value_text(value: Any) -> str:
    """Returns how a value is called in a table or a figure."""
    if isinstance(value, Mapping):
        return str(value.get("encoder", value.get("type", value)))
    return str(value)
