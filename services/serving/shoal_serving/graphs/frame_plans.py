"""Plans of models with one network that sees whole frames.

Axis legend: B frames, I instances, N nodes, P peaks, E edges, K classes.
"""

from collections.abc import Mapping

from shoal_common.inference.contract import PoseContract
from shoal_serving.graphs import instances as animals
from shoal_serving.graphs.builder import FLOAT, INT32, INT64, GraphBuilder, Value
from shoal_serving.graphs.centroids import find_centroids
from shoal_serving.graphs.classes import class_probabilities
from shoal_serving.graphs.network import (
    CLASS_HEAD,
    IMAGES,
    LINE_SAMPLES,
    MAX_INSTANCES,
    OVERFLOW,
    PAF_HEAD,
    PEAK_THRESHOLD,
    Network,
    body_part,
    frame_input,
    instance_outputs,
    instance_ports,
    preprocess_part,
)
from shoal_serving.graphs.pafs import edge_scores
from shoal_serving.graphs.peaks import Peaks, global_peaks, local_peaks
from shoal_serving.graphs.plan import Part, Plan, Port


def single_instance_plan(contract: PoseContract, network: Network) -> Plan:
    """One animal per frame: global peaks. Its score is the sum of its nodes', as in SLEAP."""
    outputs = (*instance_ports(len(contract.skeleton.nodes), 1), OVERFLOW)

    def emit(graph: GraphBuilder, values: Mapping[str, Value]) -> dict[str, Value]:
        maps = network.maps(values, network.confidence.name)
        peaks = global_peaks(maps, values[PEAK_THRESHOLD.name], network.offsets(values))
        points = network.to_frame(peaks.positions_BNP2, network.confidence.stride).squeeze(2)
        found = peaks.valid_BNP.cast(FLOAT)
        scores = (peaks.values_BNP * found).reduce("ReduceSum", 1)
        instances = animals.arrange(points, peaks.values_BNP, peaks.valid_BNP, scores)
        return instance_outputs(instances) | {OVERFLOW.name: instances.counts_B * 0}

    reads = (*network.map_ports("B"), PEAK_THRESHOLD)
    return Plan(
        inputs=(IMAGES, PEAK_THRESHOLD),
        outputs=outputs,
        parts=(
            preprocess_part(network),
            body_part(network, frame_input(network), "B"),
            Part("instances", "glue", reads, outputs, emit),
        ),
    )


def centroid_plan(contract: PoseContract, network: Network) -> Plan:
    """Centroids only: instances of one node."""
    outputs = (*instance_ports(1, contract.max_instances), OVERFLOW)

    def emit(graph: GraphBuilder, values: Mapping[str, Value]) -> dict[str, Value]:
        found = find_centroids(network, values, contract.max_instances)
        return {
            "instance_peaks": found.points_px_BI2.unsqueeze(2),
            "instance_peak_values": found.scores_BI.unsqueeze(2),
            "instance_scores": found.scores_BI,
            "instance_counts": animals.count_valid(found.valid_BI, 1),
            "overflow": found.overflow_B,
        }

    reads = (*network.map_ports("B"), PEAK_THRESHOLD, MAX_INSTANCES)
    return Plan(
        inputs=(IMAGES, PEAK_THRESHOLD, MAX_INSTANCES),
        outputs=outputs,
        parts=(
            preprocess_part(network),
            body_part(network, frame_input(network), "B"),
            Part("instances", "glue", reads, outputs, emit),
        ),
    )


def parts_plan(contract: PoseContract, network: Network, composed: bool) -> Plan:
    """Bottom-up: local peaks of every node, and what grouping them into animals needs."""
    outputs = _parts_ports(contract)
    measure = outputs[3]

    def emit(graph: GraphBuilder, values: Mapping[str, Value]) -> dict[str, Value]:
        maps = network.maps(values, network.confidence.name)
        threshold, count = values[PEAK_THRESHOLD.name], contract.max_peaks_per_node
        peaks, overflow = local_peaks(
            maps, threshold, count, network.offsets(values), order="raster"
        )
        points = network.to_frame(peaks.positions_BNP2, network.confidence.stride)
        if contract.kind == "bottomup":
            found = _edge_scores(contract, network, values, peaks, trim=not composed)
        else:
            found = _class_probabilities(network, values, peaks)
        return {
            "peaks": animals.blank(points, peaks.valid_BNP.unsqueeze(3)),
            "peak_values": peaks.values_BNP * peaks.valid_BNP.cast(FLOAT),
            "peak_counts": animals.count_valid(peaks.valid_BNP, 2),
            measure.name: found,
            OVERFLOW.name: overflow.cast(INT32).squeeze(1),
        }

    options = (PEAK_THRESHOLD, LINE_SAMPLES) if contract.kind == "bottomup" else (PEAK_THRESHOLD,)
    reads = (*network.map_ports("B"), *options)
    return Plan(
        inputs=(IMAGES, *options),
        outputs=outputs,
        parts=(
            preprocess_part(network),
            body_part(network, frame_input(network), "B"),
            Part("parts", "glue", reads, outputs, emit),
        ),
    )


def _parts_ports(contract: PoseContract) -> tuple[Port, ...]:
    nodes, slots = len(contract.skeleton.nodes), contract.max_peaks_per_node
    if contract.kind == "bottomup":
        shape = ("B", len(contract.skeleton.edges), slots, slots)
        measure = Port("edge_scores", FLOAT, shape)
    else:
        measure = Port("class_probabilities", FLOAT, ("B", nodes, slots, len(contract.classes)))
    return (
        Port("peaks", FLOAT, ("B", nodes, slots, 2)),
        Port("peak_values", FLOAT, ("B", nodes, slots)),
        Port("peak_counts", INT32, ("B", nodes)),
        measure,
        OVERFLOW,
    )


def _edge_scores(
    contract: PoseContract,
    network: Network,
    values: Mapping[str, Value],
    peaks: Peaks,
    trim: bool,
) -> Value:
    """Returns [B, E, P, P]; trimmed, only as many peaks are paired as a frame has at most."""
    head = network.head(PAF_HEAD)
    positions, valid = peaks.positions_BNP2, peaks.valid_BNP
    positions = positions * (network.confidence.stride / head.stride)
    edges, fields = contract.skeleton.edges, network.maps(values, PAF_HEAD)
    samples = values[LINE_SAMPLES.name]
    if not trim:
        return edge_scores(fields, positions, valid, edges, samples)
    most = animals.count_valid(valid, 2).reduce("ReduceMax", 0, 1, keep=True)
    count = most.reshape(1).cast(INT64).maximum(1)
    positions, valid = positions.slice(2, 0, count), valid.slice(2, 0, count)
    missing = count * -1 + contract.max_peaks_per_node
    scores = edge_scores(fields, positions, valid, edges, samples)
    return scores.pad((0, 0, 0, 0), (0, 0, missing, missing))


def _class_probabilities(network: Network, values: Mapping[str, Value], peaks: Peaks) -> Value:
    head = network.head(CLASS_HEAD)
    positions = peaks.positions_BNP2 * (network.confidence.stride / head.stride)
    return class_probabilities(network.maps(values, CLASS_HEAD), positions, peaks.valid_BNP)
