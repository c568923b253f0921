"""The heads of a sleap-nn model, read from its configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shoal_core.skeleton import Skeleton
from shoal_serving.graphs.network import (
    CLASS_HEAD,
    CLASS_VECTORS_HEAD,
    CONFIDENCE_HEADS,
    PAF_HEAD,
)
from shoal_serving.importing.config_numbers import power_of_two


@dataclass(frozen=True)
class TorchHead:
    """One head of the network, in the order of `model.head_layers`."""

    index: int
    class_name: str
    channels: int
    stride: int
    sigmoid: bool
    """Whether a sigmoid follows the last layer."""

    @property
    def name(self) -> str:
        """Name of the output, for example "CentroidConfmapsHead_0"."""
        return f"{self.class_name}_{self.index}"

    @property
    def is_map(self) -> bool:
        """Whether it is an image [B, C, h, w]; otherwise it is a vector [B, C]."""
        return self.class_name != CLASS_VECTORS_HEAD


def read_classes(head: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the identities that a head names, in the order of its channels; else nothing."""
    for part in ("class_maps", "class_vectors"):
        if part in head:
            return tuple(map(str, head[part]["classes"]))
    return ()


def read_heads(
    stage: str, head: Mapping[str, Any], skeleton: Skeleton, classes: tuple[str, ...]
) -> tuple[TorchHead, ...]:
    """Returns the heads of a stage in the order of the checkpoint.

    Raises:
        KeyError, TypeError, ValueError: when the configuration describes none.
    """
    parts = {
        "confmaps": (CONFIDENCE_HEADS[stage], len(skeleton.nodes)),
        "pafs": (PAF_HEAD, 2 * len(skeleton.edges)),
        "class_maps": (CLASS_HEAD, len(classes)),
        "class_vectors": (CLASS_VECTORS_HEAD, len(classes)),
    }
    found = [part for part in parts if part in head]
    return tuple(
        TorchHead(
            index,
            *parts[part],
            stride=power_of_two(head[part]["output_stride"]),
            sigmoid=part == "class_maps" or bool(head[part].get("use_sigmoid_activation")),
        )
        for index, part in enumerate(found)
    )
