"""What a served model promises: the pose contract's metadata.

The contract travels as `contract.json` beside the served graphs, as the parameter
`pose_contract` of the engine's model configuration, and inside `WatchDeployment`.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal, Self

from shoal_core.errors import InvalidArgument
from shoal_core.skeleton import Skeleton

PoseFamily = Literal["instances", "parts"]
ModelKind = Literal[
    "single_instance",
    "centroid",
    "centered_instance",
    "topdown",
    "bottomup",
    "multiclass_bottomup",
    "multiclass_centered_instance",
    "multiclass_topdown",
]
Refinement = Literal["integral", "offsets"]

CROP_STAGES = ("centered_instance", "multiclass_centered_instance")
"""Names of the stages that see crops around centroids; alone, they are the model's kind."""

CONTRACT_PARAMETER = "pose_contract"
"""Name of the engine's model parameter that holds the contract as JSON."""


@dataclass(frozen=True)
class Parity:
    """How what is served agrees with what training found, on frames that came with the model."""

    frame_count: int
    instance_count: int
    """Instances that both found."""
    node_count: int
    """Nodes that were compared."""
    median_px: float
    """Distance of the nodes, in pixels of the frame; 0 where none was compared."""
    p99_px: float


@dataclass(frozen=True)
class Stage:
    """One network of the model and how full-frame pixels reach it."""

    name: str
    """"centroid", "centered_instance", "bottomup" …: which head the network has."""
    input_scale: float
    """Factor from full-frame pixels (or crop pixels) to network input pixels."""
    max_stride: int
    """Network input height and width are padded (bottom, right) to a multiple of this."""
    output_strides: dict[str, int]
    """Head name → network input pixels per map pixel."""
    refinement: Refinement
    """How rough peaks become sub-pixel peaks."""
    antialias: bool = False
    """Whether a pixel of a scaled-down image is the mean of all that it covers, rather than
    interpolated between the nearest: so it was in training with sleap-nn."""
    parity: Parity | None = None
    """Of the import; None where the training left nothing to compare with."""


@dataclass(frozen=True)
class PoseContract:
    """Metadata of a served pose model: what its inputs and outputs mean, and their limits."""

    family: PoseFamily
    kind: ModelKind
    skeleton: Skeleton
    channels: Literal[1, 3]
    """Channels that the network sees; `images` may have 1 or 3 either way."""
    stages: tuple[Stage, ...]
    """In the order in which they run."""
    classes: tuple[str, ...] = ()
    """Identities of an ID model (K of them), else empty."""
    crop_size_px: int | None = None
    """Side of the second stage's square crop in full-frame pixels, if there is one; of frames
    that are scaled to `target_size_px`, in pixels after that."""
    target_size_px: tuple[int, int] | None = None
    """(height, width) that frames of another size are scaled to fit in, as training's were;
    None: every frame keeps its size. Points are in pixels of the frame as it came either way."""
    anchor_part: str | None = None
    """Node that the crop is centred on; None: the centre of the labelled points' bounding box."""
    max_instances: int = 20
    """I: the most instances a frame can return."""
    max_peaks_per_node: int = 20
    """P: the most peaks of one node that a frame can return (family `parts`)."""
    peak_threshold: float = 0.2
    """Default threshold of confidence-map peaks; of two stages, that of the centroids."""
    crop_peak_threshold: float | None = None
    """Default threshold of the nodes in the crops of two stages; None: `peak_threshold`. Where
    only that is given with a request, it counts for both."""
    scores_nodes: bool = False
    """Of crops: whether an animal's score is its centroid's times the mean of its nodes', 0 for
    those not found (after Xiao et al., ECCV 2018); else the centroid's alone, as in SLEAP."""
    source: str = ""
    """Where the model came from, for example "SLEAP 1.4 (Keras)"."""
    source_hash: str = ""
    """SHA-256 over the imported files, in hexadecimal."""

    @property
    def has_two_stages(self) -> bool:
        """Whether centroids and nodes each have a threshold."""
        return self.kind in ("topdown", "multiclass_topdown")

    @property
    def takes_centroids(self) -> bool:
        """Whether the caller must give `centroids`."""
        return self.kind in CROP_STAGES

    def to_json(self) -> str:
        """Returns the contract as one JSON object with sorted keys."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Returns the contract that `to_json` wrote.

        Raises:
            InvalidArgument: CONTRACT_INVALID when a key is missing or unknown.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            skeleton = fields.pop("skeleton")
            stages = fields.pop("stages")
            classes = tuple(fields.pop("classes"))
            target = fields.pop("target_size_px", None)
            return cls(
                skeleton=Skeleton(
                    name=skeleton["name"],
                    nodes=tuple(skeleton["nodes"]),
                    edges=tuple((a, b) for a, b in skeleton["edges"]),
                    symmetries=tuple((a, b) for a, b in skeleton["symmetries"]),
                ),
                stages=tuple(_stage(stage) for stage in stages),
                classes=classes,
                target_size_px=None if target is None else (int(target[0]), int(target[1])),
                **fields,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidArgument(
                "CONTRACT_INVALID", f"The model's pose contract cannot be read: {error}."
            ) from error


def _stage(fields: dict[str, Any]) -> Stage:
    parity = fields.pop("parity", None)
    return Stage(**fields, parity=None if parity is None else Parity(**parity))
