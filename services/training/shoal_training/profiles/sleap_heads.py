"""Heads, which SLEAP and sleap-nn describe alike."""

from shoal_training.config import (
    ClassMapsHead,
    ClassVectorsHead,
    ConfmapsHead,
    HeadsConfig,
    ModelKind,
    PafsHead,
)
from shoal_training.profiles.keys import ProfileKeys


def read_heads(keys: ProfileKeys, root: str, kind: ModelKind) -> HeadsConfig:
    """Returns the heads under a key, for example "model.heads.centroid".

    Names of nodes and edges are the labels' business.

    Raises:
        InvalidArgument: PROFILE_INVALID.
    """
    for name in ("part_names", "confmaps.part_names", "pafs.edges"):
        keys.get(f"{root}.{name}")
    maps = f"{root}.confmaps" if keys.get(f"{root}.confmaps") is not None else root
    stride = keys.whole(f"{maps}.output_stride", 1)
    part = {"multiclass_bottomup": "class_maps", "multiclass_centered_instance": "class_vectors"}
    classes = keys.get(f"{root}.{part[kind]}.classes", ()) if kind in part else ()
    return HeadsConfig(
        confmaps=ConfmapsHead(
            sigma_map_px=keys.number(f"{maps}.sigma", 5.0),
            output_stride=stride,
            loss_weight=keys.number(f"{maps}.loss_weight", 1.0),
            offset_refinement=bool(keys.get(f"{maps}.offset_refinement", False)),
        ),
        pafs=_pafs(keys, f"{root}.pafs") if kind == "bottomup" else None,
        class_maps=_class_maps(keys, f"{root}.class_maps")
        if kind == "multiclass_bottomup"
        else None,
        class_vectors=_class_vectors(keys, f"{root}.class_vectors")
        if kind == "multiclass_centered_instance"
        else None,
        classes=tuple(map(str, classes)),
    )


def _pafs(keys: ProfileKeys, root: str) -> PafsHead:
    return PafsHead(
        sigma_px=keys.number(f"{root}.sigma", 15.0),
        output_stride=keys.whole(f"{root}.output_stride", 1),
        loss_weight=keys.number(f"{root}.loss_weight", 1.0),
    )


def _class_maps(keys: ProfileKeys, root: str) -> ClassMapsHead:
    """Returns discs of the radius that the Gaussians of SLEAP have as standard deviation."""
    return ClassMapsHead(
        radius_map_px=keys.number(f"{root}.sigma", 5.0),
        output_stride=keys.whole(f"{root}.output_stride", 1),
        loss_weight=keys.number(f"{root}.loss_weight", 1.0),
    )


def _class_vectors(keys: ProfileKeys, root: str) -> ClassVectorsHead:
    if not keys.get(f"{root}.global_pool", True):
        raise keys.refusal(f"{root}.global_pool", "is false; class vectors pool here")
    keys.get(f"{root}.output_stride")  # they come from the deepest features
    units = keys.whole(f"{root}.num_fc_units", 64)
    return ClassVectorsHead(
        layers=(units,) * keys.whole(f"{root}.num_fc_layers", 1),
        loss_weight=keys.number(f"{root}.loss_weight", 1.0),
    )
