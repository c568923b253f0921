"""Frames of another size than training's: scaled to fit before a model, its results after it.

Axis legend: B frames, H W frame pixels, C channels.
"""

from collections.abc import Mapping
from dataclasses import replace

from shoal_serving.graphs.builder import FLOAT, INT64, GraphBuilder, Value
from shoal_serving.graphs.network import CENTROIDS, IMAGES
from shoal_serving.graphs.plan import Part, Plan, Port
from shoal_serving.graphs.preprocess import resize_attributes

FRAME_SCALE = Port("frame_scale", FLOAT, (1,))
"""Pixels of the fitted frame per pixel of the frame as it came."""

POINTS = ("instance_peaks", "peaks")
"""Outputs that are places in the frame."""


def fit_frames(plan: Plan, target_size_px: tuple[int, int], *, antialias: bool) -> Plan:
    """Returns the plan for frames of any size, of a model that wants (height, width).

    As in SLEAP: frames are scaled (up or down, both axes alike) until they touch the target's
    size, rounded down to whole gray levels, and get zeros below or to the right. Frames of
    that size stay as they are. As in sleap-nn (`antialias`): the same, but antialiased, and
    sizes and gray levels are rounded to the nearest.
    """
    places = [port for port in plan.inputs if port.name in (IMAGES.name, CENTROIDS.name)]
    points = [port for port in plan.outputs if port.name in POINTS]
    inner = {port.name: f"fitted/{port.name}" for port in (*places, *points)}

    def fit(graph: GraphBuilder, values: Mapping[str, Value]) -> dict[str, Value]:
        images, scale = _fit(values[IMAGES.name], target_size_px, antialias)
        made = {inner[IMAGES.name]: images, FRAME_SCALE.name: scale}
        if CENTROIDS.name in values:
            made[inner[CENTROIDS.name]] = values[CENTROIDS.name] * scale
        return made

    def give_back(graph: GraphBuilder, values: Mapping[str, Value]) -> dict[str, Value]:
        scale = values[FRAME_SCALE.name]
        return {port.name: values[inner[port.name]] / scale for port in points}

    fitted = [replace(port, name=inner[port.name]) for port in places]
    found = [replace(port, name=inner[port.name]) for port in points]
    return replace(
        plan,
        parts=(
            Part("fit", "glue", tuple(places), (*fitted, FRAME_SCALE), fit),
            *(_renamed(part, inner) for part in plan.parts),
            Part("give_back", "glue", (*found, FRAME_SCALE), tuple(points), give_back),
        ),
    )


def _fit(
    images_BHWC: Value, target_size_px: tuple[int, int], antialias: bool = False
) -> tuple[Value, Value]:
    graph = images_BHWC.graph
    lengths = graph.concat([images_BHWC.length(1), images_BHWC.length(2)], axis=0).cast(FLOAT)
    target = graph.constant(target_size_px, INT64)
    scale = (target.cast(FLOAT) / lengths).reduce("ReduceMin", 0, keep=True)
    exact = lengths * scale
    # A little more, because length · (target / length) may be just less than the target.
    fitted = (graph.op("Round", exact) if antialias else exact + 1e-3).cast(INT64).maximum(1)
    sizes = graph.concat([images_BHWC.length(0), fitted, images_BHWC.length(3)], axis=0)
    absent = Value(graph, "", FLOAT)
    how = resize_attributes(antialias=antialias)
    images = graph.op("Resize", images_BHWC, absent, absent, sizes, **how)
    missing = target - fitted
    below, right = missing.slice(0, 0, 1), missing.slice(0, 1, 2)
    return images.pad((0, 0, 0, 0), (0, below, right, 0)), scale


def _renamed(part: Part, names: Mapping[str, str]) -> Part:
    """Returns the part with its ports under the chain's names for them."""

    def rename(ports: tuple[Port, ...]) -> tuple[Port, ...]:
        return tuple(replace(port, name=names.get(port.name, port.name)) for port in ports)

    own = {chain_name: name for name, chain_name in names.items()}

    def emit(graph: GraphBuilder, values: Mapping[str, Value]) -> dict[str, Value]:
        made = part.emit(graph, {own.get(name, name): value for name, value in values.items()})
        return {names.get(name, name): value for name, value in made.items()}

    # The part's own graph keeps the names that it had.
    kept = {chain_name: part.renames.get(name, name) for name, chain_name in names.items()}
    return replace(
        part,
        inputs=rename(part.inputs),
        outputs=rename(part.outputs),
        emit=emit,
        renames={**part.renames, **kept},
    )
