"""From centroids to crops and back to animals per frame.

Two ways lead from B frames with up to I animals each to M crops. On the CPU chain the crops
are exactly the animals that were found (`compact`, M depends on the data). In the composed
graph every slot is a crop (`all_slots`, M = B · I), because GPU engines need fixed shapes.

Axis legend: B frames, I instances, M crops, N nodes, K classes,
2 = (x, y).
"""

from dataclasses import dataclass

import numpy as np

from shoal_serving.graphs.builder import FLOAT, INT32, INT64, Value


@dataclass(frozen=True)
class CropList:
    """Which crops are cut, and where their results belong."""

    centers_px_M2: Value
    frames_M: Value
    """Frame of each crop, INT32."""
    slots_M: Value
    """Place among the B · I slots, INT64, ascending."""


@dataclass(frozen=True)
class Instances:
    """Animals per frame, as in the pose contract's family `instances`."""

    peaks_BIN2: Value
    values_BIN: Value
    scores_BI: Value
    counts_B: Value
    classes_BIK: Value | None = None
    """Class probabilities; None where the model names no identities."""


def limit_instances(valid_BI: Value, max_instances_B1: Value) -> Value:
    """Returns the valid slots among the first `max_instances` of each frame."""
    slots_I = valid_BI.graph.arange(valid_BI.length(1))
    return valid_BI & (slots_I < max_instances_B1.cast(INT64))


def compact(centers_px_BI2: Value, valid_BI: Value) -> CropList:
    """Returns one crop per valid slot."""
    graph = centers_px_BI2.graph
    slots_M = graph.op("NonZero", valid_BI.reshape(-1), dtype=INT64).squeeze(0)
    return _crop_list(centers_px_BI2, slots_M)


def all_slots(centers_px_BI2: Value, valid_BI: Value) -> CropList:
    """Returns one crop per slot; those of empty slots are cut at (0, 0) and unused."""
    graph = centers_px_BI2.graph
    slots_M = graph.arange(valid_BI.length(0) * valid_BI.length(1))
    clean = graph.where(valid_BI.unsqueeze(2), centers_px_BI2, centers_px_BI2.like(0.0))
    return _crop_list(clean, slots_M)


def _crop_list(centers_px_BI2: Value, slots_M: Value) -> CropList:
    graph = centers_px_BI2.graph
    centers = centers_px_BI2.reshape(-1, 2).gather(slots_M, axis=0)
    slots_per_frame = centers_px_BI2.length(1).maximum(1)
    frames = graph.op("Div", slots_M, slots_per_frame).cast(INT32)
    return CropList(centers, frames, slots_M)


def scatter(rows_M: Value, slots_M: Value, scores_BI: Value) -> Value:
    """Returns the crops' rows [M, ...] in their slots [B · I, ...], 0 in all others."""
    graph = rows_M.graph
    slot_count = scores_BI.length(0) * scores_BI.length(1)
    row_shape = graph.op("Shape", rows_M, dtype=INT64, start=1)
    empty = rows_M.like(0.0)
    empty = graph.op("Expand", empty, graph.concat([slot_count, row_shape], axis=0))
    return graph.op("ScatterND", empty, slots_M.unsqueeze(1), rows_M)


def arrange(
    points_px_XN2: Value,
    values_XN: Value,
    found_XN: Value,
    scores_BI: Value,
    classes_XK: Value | None = None,
    scores_nodes: bool = False,
) -> Instances:
    """Returns the instances in front, in the order of their slots (X = B · I slots).

    A slot without score or without any node that was found is no instance. With `scores_nodes` the
    score of an instance becomes the product with the mean of its nodes' values, 0 where not found.
    """
    graph = scores_BI.graph
    node_count = points_px_XN2.length(1)
    # The axis of slots is the free one: a length of 0 would keep the axis that was there.
    shape = (scores_BI.length(0), -1, node_count)
    found_BIN = found_XN.reshape(*shape) & (scores_BI > 0.0).unsqueeze(2)
    keep_BI = found_BIN.cast(FLOAT).reduce("ReduceMax", 2)
    slot_count = scores_BI.length(1)
    # Kept slots get keys slot_count − slot > 0, the others −slot ≤ 0.
    keys = keep_BI * slot_count.cast(FLOAT) - graph.arange(slot_count).cast(FLOAT)
    _, order_BI = graph.op2("TopK", keys, slot_count, dtypes=(FLOAT, INT64), axis=1)
    points = blank(points_px_XN2.reshape(*shape, 2), found_BIN.unsqueeze(3))
    values = values_XN.reshape(*shape) * found_BIN.cast(FLOAT)
    scores = scores_BI * keep_BI
    if scores_nodes:
        scores = scores * values.reduce("ReduceMean", 2)
    classes_BIK = None
    if classes_XK is not None:
        class_count = classes_XK.length(1)
        kept = classes_XK.reshape(scores_BI.length(0), -1, class_count) * keep_BI.unsqueeze(2)
        classes_BIK = _reorder(kept, order_BI, (1, 1, class_count))
    return Instances(
        peaks_BIN2=_reorder(points, order_BI, (1, 1, node_count, 2)),
        values_BIN=_reorder(values, order_BI, (1, 1, node_count)),
        scores_BI=scores.gather_elements(order_BI, axis=1),
        counts_B=keep_BI.reduce("ReduceSum", 1).cast(INT32),
        classes_BIK=classes_BIK,
    )


def _reorder(rows_BI: Value, order_BI: Value, shape: tuple[int | Value, ...]) -> Value:
    """Returns rows [B, I, ...] in the given order of their instances."""
    order = order_BI.unsqueeze(*range(2, len(shape))).expand(*shape)
    return rows_BI.gather_elements(order, axis=1)


def count_valid(valid_BX: Value, axis: int) -> Value:
    """Returns how many are valid along an axis, INT32."""
    return valid_BX.cast(FLOAT).reduce("ReduceSum", axis).cast(INT32)


def blank(points: Value, valid: Value) -> Value:
    """Returns points [..., 2] with (NaN, NaN) where they are not valid."""
    return points.graph.where(valid, points, points.like(np.nan))
