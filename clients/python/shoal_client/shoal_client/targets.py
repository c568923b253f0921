"""Where the services of an ensemble listen."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Targets:
    """gRPC targets, `host:port` or `unix:/path`; the defaults are those of `shoal up`."""

    decode: str = "127.0.0.1:7101"
    """Probes videos."""
    serving: str = "127.0.0.1:7102"
    """Keeps the models."""
    labels: str = "127.0.0.1:7104"
    """Keeps labels and predictions."""
    orchestrator: str = "127.0.0.1:7105"
    """Runs jobs."""
