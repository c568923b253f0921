"""A stage with its network, and the parts that every kind of model has.

Axis legend: B frames, M crops, C channels, N nodes, h w network input pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shoal_common.inference.contract import Stage
from shoal_core.errors import InvalidArgument
from shoal_serving.graphs.body import Body, Head
from shoal_serving.graphs.builder import FLOAT, INT32, UINT8, GraphBuilder, Value
from shoal_serving.graphs.instances import Instances
from shoal_serving.graphs.plan import Part, Port
from shoal_serving.graphs.preprocess import Scaling, preprocess

IMAGES = Port("images", UINT8, ("B", "H", "W", "C"))
PEAK_THRESHOLD = Port("peak_threshold", FLOAT, ("B", 1))
CROP_PEAK_THRESHOLD = Port("crop_peak_threshold", FLOAT, ("B", 1))
MAX_INSTANCES = Port("max_instances", INT32, ("B", 1))
LINE_SAMPLES = Port("line_samples", FLOAT, ("B", "T"))
CENTROIDS = Port("centroids", FLOAT, ("B", "I", 2))
OVERFLOW = Port("overflow", INT32, ("B",))

OFFSETS_HEAD = "OffsetRefinementHead"
PAF_HEAD = "PartAffinityFieldsHead"
CLASS_HEAD = "ClassMapsHead"
CLASS_VECTORS_HEAD = "ClassVectorsHead"
CONFIDENCE_HEADS = {
    "single_instance": "SingleInstanceConfmapsHead",
    "centroid": "CentroidConfmapsHead",
    "centered_instance": "CenteredInstanceConfmapsHead",
    "multiclass_centered_instance": "CenteredInstanceConfmapsHead",
    "bottomup": "MultiInstanceConfmapsHead",
    "multiclass_bottomup": "MultiInstanceConfmapsHead",
}
"""Stage name → class of the head with the confidence maps."""


@dataclass(frozen=True)
class Network:
    """A stage of the contract together with its network."""

    stage: Stage
    body: Body

    @property
    def scaling(self) -> Scaling:
        """How images are scaled before they reach the network."""
        return Scaling(self.stage.input_scale, self.stage.antialias)

    @property
    def confidence(self) -> Head:
        """The head with the confidence maps."""
        return self.head(CONFIDENCE_HEADS[self.stage.name])

    def head(self, class_name: str) -> Head:
        """Returns the head of a class.

        Raises:
            InvalidArgument: MODEL_CONFIG_INVALID when the network has none.
        """
        head = self.body.find(class_name)
        if head is None:
            raise InvalidArgument(
                "MODEL_CONFIG_INVALID",
                f"The {self.stage.name} network has no {class_name}; copy both files of the "
                "model folder from the same training run.",
                head=class_name,
            )
        return head

    def map_port(self, head: Head, batch: str) -> Port:
        """Returns the port of a head's maps, or of its vectors."""
        size = (f"{head.name}_h", f"{head.name}_w") if head.is_map else ()
        return Port(f"{self.stage.name}/{head.name}", FLOAT, (batch, head.channels, *size))

    def map_ports(self, batch: str) -> tuple[Port, ...]:
        """Returns the ports of all heads."""
        return tuple(self.map_port(head, batch) for head in self.body.heads)

    def maps(self, values: Mapping[str, Value], class_name: str) -> Value:
        """Returns a head's maps, or vectors, among a part's inputs."""
        return values[self.map_port(self.head(class_name), "B").name]

    def offsets(self, values: Mapping[str, Value]) -> Value | None:
        """Returns the offset maps, or None where refinement is integral."""
        return self.maps(values, OFFSETS_HEAD) if self.body.find(OFFSETS_HEAD) else None

    def to_frame(self, positions: Value, stride: int) -> Value:
        """Returns map pixels as pixels before scaling: (position · stride) / input scale."""
        pixels = positions * stride
        return pixels if self.stage.input_scale == 1.0 else pixels / self.stage.input_scale


def frame_input(network: Network) -> Port:
    """Returns the port of the network's input when it sees whole frames."""
    shape = ("B", network.body.channels, "h", "w")
    return Port(f"{network.stage.name}_input", FLOAT, shape)


def preprocess_part(network: Network) -> Part:
    """Returns the glue from frames to a network that sees whole frames."""
    stage, port = network.stage, frame_input(network)

    def emit(graph: GraphBuilder, values: Mapping[str, Value]) -> dict[str, Value]:
        images = values[IMAGES.name]
        channels = network.body.channels
        return {port.name: preprocess(images, channels, network.scaling, stage.max_stride)}

    return Part(f"{stage.name}_preprocess", "glue", (IMAGES,), (port,), emit)


def body_part(network: Network, source: Port, batch: str) -> Part:
    """Returns the network as a part; `batch` names the first axis of its input and maps."""
    ports = network.map_ports(batch)
    renames = {source.name: "input"}
    renames |= {port.name: head.name for port, head in zip(ports, network.body.heads, strict=True)}

    def emit(graph: GraphBuilder, values: Mapping[str, Value]) -> dict[str, Value]:
        made = network.body.emit(graph, values[source.name])
        return {port.name: made[renames[port.name]] for port in ports}

    return Part(network.stage.name, "body", (source,), ports, emit, renames)


def instance_ports(node_count: int, slots: int | str, class_count: int = 0) -> tuple[Port, ...]:
    """Returns the outputs of the family `instances`, apart from the overflow."""
    classes = (Port("class_probabilities", FLOAT, ("B", slots, class_count)),)
    return (
        Port("instance_peaks", FLOAT, ("B", slots, node_count, 2)),
        Port("instance_peak_values", FLOAT, ("B", slots, node_count)),
        Port("instance_scores", FLOAT, ("B", slots)),
        Port("instance_counts", INT32, ("B",)),
        *(classes if class_count else ()),
    )


def instance_outputs(found: Instances) -> dict[str, Value]:
    """Returns the outputs of the family `instances` by port name."""
    outputs = {
        "instance_peaks": found.peaks_BIN2,
        "instance_peak_values": found.values_BIN,
        "instance_scores": found.scores_BI,
        "instance_counts": found.counts_B,
    }
    if found.classes_BIK is not None:
        outputs["class_probabilities"] = found.classes_BIK
    return outputs
