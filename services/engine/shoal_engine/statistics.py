"""What a model version has done since it was loaded."""

from dataclasses import dataclass, field


@dataclass
class Duration:
    """How often, and how long in sum."""

    count: int = 0
    total_ns: int = 0

    def add(self, duration_ns: int) -> None:
        """Counts one more."""
        self.count += 1
        self.total_ns += duration_ns


@dataclass
class Statistics:
    """Counters of one model version; changed on the event loop only."""

    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    """From arrival to the start of the first part."""
    compute: Duration = field(default_factory=Duration)
    """From the start of the first part to the end of the last one."""
    frame_count: int = 0
    last_inference_ms: int = 0
    """Unix time of the last success, milliseconds."""
