"""The skeleton of a sleap-nn model, read from its configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

from shoal_core.skeleton import Skeleton


def read_skeleton(data: Mapping[str, Any], kind: str, head: Mapping[str, Any]) -> Skeleton:
    """Returns the skeleton of the head's nodes.

    Edges and symmetries between nodes that the head does not have are left out.

    Args:
        data: The part `data_config`.
        kind: Key of the head, for example "bottomup".
        head: The head's configuration.

    Raises:
        KeyError, TypeError, ValueError: when there is none to read.
    """
    graph = (data.get("skeletons") or [{}])[0]
    name = str(graph.get("name") or "skeleton")
    if kind == "centroid":
        return Skeleton(name=name, nodes=(head["confmaps"].get("anchor_part") or "centroid",))
    parts = head["confmaps"].get("part_names")
    nodes = tuple(_name(node) for node in parts or graph["nodes"])
    edges = [(_name(edge["source"]), _name(edge["destination"])) for edge in graph.get("edges", [])]
    if kind == "bottomup":
        edges = head["pafs"].get("edges") or edges
    symmetries = [[_name(node) for node in pair] for pair in graph.get("symmetries") or []]
    found = {(min(a, b), max(a, b)) for a, b in _indices(nodes, symmetries)}
    return Skeleton(
        name=name, nodes=nodes, edges=tuple(_indices(nodes, edges)), symmetries=tuple(sorted(found))
    )


def _indices(nodes: tuple[str, ...], pairs: Sequence[Any]) -> list[tuple[int, int]]:
    return [(nodes.index(a), nodes.index(b)) for a, b in pairs if a in nodes and b in nodes]


def _name(node: Any) -> str:
    return str(node["name"] if isinstance(node, dict) else node)
