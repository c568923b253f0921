"""The skeleton: which nodes an animal has and how they are joined."""

from dataclasses import dataclass

from shoal_core.errors import InvalidArgument


@dataclass(frozen=True)
class Skeleton:
    """Nodes of an animal, in the order of every array's node axis.

    Raises:
        InvalidArgument: SKELETON_INVALID when a name repeats or an index points nowhere.
    """

    name: str
    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int], ...] = ()
    """(source, destination) node indices; the direction of the part affinity fields."""
    symmetries: tuple[tuple[int, int], ...] = ()
    """Pairs of node indices that swap when the image is mirrored."""

    def __post_init__(self) -> None:
        if len(set(self.nodes)) != len(self.nodes):
            raise InvalidArgument(
                "SKELETON_INVALID",
                f"Skeleton {self.name!r} names a node twice.",
                skeleton=self.name,
            )
        for source, destination in self.edges + self.symmetries:
            if not (0 <= source < len(self.nodes) and 0 <= destination < len(self.nodes)):
                raise InvalidArgument(
                    "SKELETON_INVALID",
                    f"Skeleton {self.name!r} joins nodes {source} and {destination}, but has "
                    f"{len(self.nodes)} nodes.",
                    skeleton=self.name,
                )
            if source == destination:
                raise InvalidArgument(
                    "SKELETON_INVALID",
                    f"Skeleton {self.name!r} joins node {source} to itself.",
                    skeleton=self.name,
                )
