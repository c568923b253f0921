"""What a network says: its heads, by the names that serving knows them by."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from shoal_core.errors import InvalidArgument
from shoal_core.skeleton import Skeleton
from shoal_training.config import ConfmapsHead, HeadsConfig, ModelKind

T = TypeVar("T")


@dataclass(frozen=True)
class HeadSpec:
    """One head of a network."""

    name: str
    """Class name, for example "CenteredInstanceConfmapsHead"."""
    channels: int
    stride: int
    """Network input pixels per pixel of the map; of vectors: 1."""
    is_map: bool = True
    """Whether it is an image [B, channels, h, w]; otherwise it is a vector [B, channels]."""
    output: Literal["linear", "sigmoid", "softmax", "spatial_softmax"] = "linear"
    """What becomes of the network's numbers (the logits that losses see) where it infers:
    `sigmoid` of class maps, and of confidence maps whose pixels are learned alone; `softmax` over
    the classes of class vectors, `spatial_softmax` over all pixels of a map with one peak at most
    (`networks.spatial_softmax`)."""
    sigma_map_px: float = 0.0
    """Of `spatial_softmax`: standard deviation of the Gaussian it was trained on, in map pixels."""
    prior: float = 0.5
    """Of `sigmoid`: what an untrained network says everywhere."""
    layers: tuple[int, ...] = ()
    """Of vectors: units of the dense layers between the deepest features and the last one."""


def stack_name(name: str, stack: int) -> str:
    """Returns the key of a head's output on an earlier stack of the network (0: the first).

    The last stack's outputs, which inference uses, are under the head's own name; every stack
    has a loss of its own (Newell et al., ECCV 2016, "Training with intermediate supervision").
    """
    return f"{name}/stack{stack}"


CONFIDENCE_HEADS: dict[ModelKind, str] = {
    "single_instance": "SingleInstanceConfmapsHead",
    "centroid": "CentroidConfmapsHead",
    "centered_instance": "CenteredInstanceConfmapsHead",
    "multiclass_centered_instance": "CenteredInstanceConfmapsHead",
    "bottomup": "MultiInstanceConfmapsHead",
    "multiclass_bottomup": "MultiInstanceConfmapsHead",
}
OFFSETS_HEAD = "OffsetRefinementHead"
PAF_HEAD = "PartAffinityFieldsHead"
CLASS_MAPS_HEAD = "ClassMapsHead"
CLASS_VECTORS_HEAD = "ClassVectorsHead"

_PEAKS_PRIOR = 0.01
"""Peaks are rare: without it, their absence would be learned first (Lin et al., ICCV 2017)."""


def head_specs(
    kind: ModelKind, heads: HeadsConfig, skeleton: Skeleton, class_count: int = 0
) -> tuple[HeadSpec, ...]:
    """Returns the heads of a model of this kind, that with the confidence maps first.

    Args:
        kind: What the network finds.
        heads: Values of the heads that the kind needs.
        skeleton: Its nodes, and its edges, are the channels.
        class_count: Number of identities of ID models.

    Raises:
        InvalidArgument: HEAD_MISSING when the kind needs a head that `heads` does not describe,
            or when a head would have no channels.
    """
    specs = list(_confidence_heads(kind, heads.confmaps, skeleton))
    if kind == "bottomup":
        pafs = _needed(heads.pafs, kind, "pafs")
        edges = _channels(2 * len(skeleton.edges), "edge", PAF_HEAD)
        specs.append(HeadSpec(PAF_HEAD, edges, pafs.output_stride))
    if kind == "multiclass_bottomup":
        maps = _needed(heads.class_maps, kind, "class_maps")
        classes = _channels(class_count, "class", CLASS_MAPS_HEAD)
        specs.append(HeadSpec(CLASS_MAPS_HEAD, classes, maps.output_stride, output="sigmoid"))
    if kind == "multiclass_centered_instance":
        vectors = _needed(heads.class_vectors, kind, "class_vectors")
        classes = _channels(class_count, "class", CLASS_VECTORS_HEAD)
        specs.append(
            HeadSpec(
                CLASS_VECTORS_HEAD,
                classes,
                stride=1,
                is_map=False,
                output="softmax",
                layers=vectors.layers,
            )
        )
    return tuple(specs)


def _confidence_heads(
    kind: ModelKind, confmaps: ConfmapsHead, skeleton: Skeleton
) -> Iterator[HeadSpec]:
    name, stride = CONFIDENCE_HEADS[kind], confmaps.output_stride
    nodes = 1 if kind == "centroid" else _channels(len(skeleton.nodes), "node", name)
    if confmaps.loss == "softmax":
        # Offsets of these are computed from the maps themselves where the network infers.
        sigma = confmaps.sigma_map_px
        yield HeadSpec(name, nodes, stride, output="spatial_softmax", sigma_map_px=sigma)
        return
    if confmaps.loss == "sigmoid":
        yield HeadSpec(name, nodes, stride, output="sigmoid", prior=_PEAKS_PRIOR)
    else:
        yield HeadSpec(name, nodes, stride)
    if confmaps.offset_refinement:
        yield HeadSpec(OFFSETS_HEAD, 2 * nodes, stride)


def _needed(head: T | None, kind: ModelKind, key: str) -> T:
    if head is None:
        raise InvalidArgument(
            "HEAD_MISSING",
            f"A {kind} model needs heads.{key}; give it, or start from a recipe of this kind.",
            kind=kind,
            head=key,
        )
    return head


def _channels(count: int, what: str, name: str) -> int:
    if count == 0:
        raise InvalidArgument(
            "HEAD_MISSING",
            f"{name} needs at least one {what}, but the labels have none; add it to the labels.",
            head=name,
        )
    return count
