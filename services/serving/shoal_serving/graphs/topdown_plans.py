"""Plans of models whose network sees crops: centred instances, and top-down in two stages.

Axis legend: B frames, I instances, M crops, N nodes, 2 = (x, y).
"""

from collections.abc import Mapping

from shoal_common.inference.contract import PoseContract
from shoal_core.errors import InvalidArgument
from shoal_serving.graphs import instances as animals
from shoal_serving.graphs.builder import FLOAT, INT32, INT64, GraphBuilder, Value
from shoal_serving.graphs.centroids import Centroids, find_centroids
from shoal_serving.graphs.crops import crop_to_frame, crops
from shoal_serving.graphs.network import (
    CENTROIDS,
    CLASS_VECTORS_HEAD,
    CROP_PEAK_THRESHOLD,
    IMAGES,
    MAX_INSTANCES,
    OVERFLOW,
    PEAK_THRESHOLD,
    Network,
    body_part,
    frame_input,
    instance_outputs,
    instance_ports,
    preprocess_part,
)
from shoal_serving.graphs.peaks import global_peaks
from shoal_serving.graphs.plan import Part, Plan, Port

CROP_CENTERS = Port("crop_centers", FLOAT, ("M", 2))
CROP_FRAMES = Port("crop_frames", INT32, ("M",))
CROP_SLOTS = Port("crop_slots", INT64, ("M",))
CROP_LIST = (CROP_CENTERS, CROP_FRAMES, CROP_SLOTS)


def _score_port(slots: int | str) -> Port:
    return Port("slot_scores", FLOAT, ("B", slots))


def centered_instance_plan(contract: PoseContract, network: Network, composed: bool) -> Plan:
    """Centroids come with the request, each with score 1 until its nodes are found."""

    def emit(graph: GraphBuilder, values: Mapping[str, Value]) -> dict[str, Value]:
        points = values[CENTROIDS.name]
        valid = points.is_nan().cast(FLOAT).reduce("ReduceMax", 2) < 1.0
        crop_list = _list_crops(points, valid, composed)
        no_overflow = points.length(0) * 0
        overflow = no_overflow.cast(INT32).expand(points.length(0))
        return crop_list | {"slot_scores": valid.cast(FLOAT), OVERFLOW.name: overflow}

    writes = (*CROP_LIST, _score_port("I"), OVERFLOW)
    return Plan(
        inputs=(IMAGES, CENTROIDS, PEAK_THRESHOLD),
        outputs=(*_instance_ports(contract, "I"), OVERFLOW),
        parts=(
            Part("crop_list", "glue", (CENTROIDS,), writes, emit),
            *_crop_parts(contract, network, "I", PEAK_THRESHOLD),
        ),
    )


def topdown_plan(contract: PoseContract, first: Network, second: Network, composed: bool) -> Plan:
    """Centroids of the first network are the centres of the second one's crops.

    With classes every centroid gets its crop: a second detection of one animal, which goes once
    its class is known, must not cost another animal its place among `max_instances`.
    """
    slots = contract.max_instances
    limits = () if contract.classes else (MAX_INSTANCES,)

    def emit(graph: GraphBuilder, values: Mapping[str, Value]) -> dict[str, Value]:
        found: Centroids = find_centroids(first, values, slots)
        crop_list = _list_crops(found.points_px_BI2, found.valid_BI, composed)
        return crop_list | {"slot_scores": found.scores_BI, OVERFLOW.name: found.overflow_B}

    reads = (*first.map_ports("B"), PEAK_THRESHOLD, *limits)
    writes = (*CROP_LIST, _score_port(slots), OVERFLOW)
    return Plan(
        inputs=(IMAGES, PEAK_THRESHOLD, CROP_PEAK_THRESHOLD, *limits),
        outputs=(*_instance_ports(contract, slots), OVERFLOW),
        parts=(
            preprocess_part(first),
            body_part(first, frame_input(first), "B"),
            Part("centroids", "glue", reads, writes, emit),
            *_crop_parts(contract, second, slots, CROP_PEAK_THRESHOLD),
        ),
    )


def _list_crops(points_px_BI2: Value, valid_BI: Value, composed: bool) -> dict[str, Value]:
    choose = animals.all_slots if composed else animals.compact
    crop_list = choose(points_px_BI2, valid_BI)
    return {
        CROP_CENTERS.name: crop_list.centers_px_M2,
        CROP_FRAMES.name: crop_list.frames_M,
        CROP_SLOTS.name: crop_list.slots_M,
    }


def _crop_parts(
    contract: PoseContract, network: Network, slots: int | str, threshold: Port
) -> tuple[Part, ...]:
    """Returns the parts from the list of crops to the response."""
    side = _crop_side(contract)
    stage, channels = network.stage, network.body.channels
    source = Port(f"{stage.name}_input", FLOAT, ("M", channels, "crop_h", "crop_w"))

    def cut(graph: GraphBuilder, values: Mapping[str, Value]) -> dict[str, Value]:
        made = crops(
            values[IMAGES.name],
            values[CROP_CENTERS.name],
            values[CROP_FRAMES.name],
            side,
            channels,
            network.scaling,
            stage.max_stride,
        )
        return {source.name: made}

    reads = (IMAGES, CROP_CENTERS, CROP_FRAMES)
    return (
        Part(f"{stage.name}_crops", "glue", reads, (source,), cut),
        body_part(network, source, "M"),
        _collect_part(contract, network, slots, threshold),
    )


def _crop_side(contract: PoseContract) -> int:
    if contract.crop_size_px is None:
        raise InvalidArgument(
            "MODEL_CONFIG_INVALID", "The centred-instance model has no crop size in its contract."
        )
    return contract.crop_size_px


def _collect_part(
    contract: PoseContract, network: Network, slots: int | str, threshold: Port
) -> Part:
    """Returns the part that puts what was found in the crops in their frames."""

    def emit(graph: GraphBuilder, values: Mapping[str, Value]) -> dict[str, Value]:
        frames, slot_list = values[CROP_FRAMES.name], values[CROP_SLOTS.name]
        thresholds_M1 = values[threshold.name].gather(frames, axis=0)
        maps = network.maps(values, network.confidence.name)
        peaks = global_peaks(maps, thresholds_M1, network.offsets(values))
        in_crop = network.to_frame(peaks.positions_BNP2, network.confidence.stride).squeeze(2)
        points = crop_to_frame(in_crop, values[CROP_CENTERS.name], _crop_side(contract))
        scores = values["slot_scores"]
        found = animals.arrange(
            animals.scatter(points, slot_list, scores),
            animals.scatter(peaks.values_BNP.squeeze(2), slot_list, scores),
            animals.scatter(peaks.valid_BNP.squeeze(2).cast(FLOAT), slot_list, scores) > 0.0,
            scores,
            animals.scatter(network.maps(values, CLASS_VECTORS_HEAD), slot_list, scores)
            if contract.classes
            else None,
            contract.scores_nodes,
        )
        return instance_outputs(found)

    reads = (
        *network.map_ports("M"),
        *CROP_LIST,
        _score_port(slots),
        threshold,
    )
    return Part("instances", "glue", reads, _instance_ports(contract, slots), emit)


def _instance_ports(contract: PoseContract, slots: int | str) -> tuple[Port, ...]:
    return instance_ports(len(contract.skeleton.nodes), slots, len(contract.classes))
