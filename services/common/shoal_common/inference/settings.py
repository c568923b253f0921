"""What, besides the model, shapes the poses of a frame."""

from dataclasses import dataclass, field

from shoal_core.class_grouping import ClassGrouping
from shoal_core.filtering import InstanceFilters
from shoal_core.grouping import PartGrouping

DEFAULT_BATCH_SIZE = 16
"""Frames a request of a batch job; live sessions send single frames."""


@dataclass(frozen=True)
class InferenceSettings:
    """Peak finding, grouping and filters; None takes the model's own value."""

    peak_threshold: float | None = None
    """A confidence-map peak must exceed this."""
    crop_peak_threshold: float | None = None
    """A node in a crop must, in models of two stages; None takes `peak_threshold` if given."""
    max_instances: int | None = None
    """Most instances kept in a frame, best first."""
    part_grouping: PartGrouping = field(default_factory=PartGrouping)
    """How the peaks of a bottom-up model become instances."""
    class_grouping: ClassGrouping = field(default_factory=ClassGrouping)
    """How the peaks of a bottom-up ID model become the animals of its classes."""
    filters: InstanceFilters = field(default_factory=InstanceFilters)
    """Which instances are left out, before the best `max_instances` are taken."""
    batch_size: int = DEFAULT_BATCH_SIZE
    """Frames sent to the engine in one request."""
