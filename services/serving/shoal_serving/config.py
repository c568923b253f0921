"""Configuration of shoal-serving."""

import dataclasses
from pathlib import Path
from typing import Literal

from shoal_common.config import ServerConfig, require_at_least

EngineKind = Literal["embedded", "triton"]

_LEAST_IMPORT_MEMORY_BYTES = 512 * 2**20
"""Libraries alone take 300 MiB of address space."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServingConfig(ServerConfig):
    """Where the registry lies, which engine serves it, and what an import may use.

    Raises:
        InvalidArgument: CONFIG_INVALID when a number is out of range.
    """

    home: Path
    """Shoal's folder of durable state, on a local disk; the registry lies in `models` below."""
    engine_target: str = "127.0.0.1:8001"
    """host:port or unix:/path of the Open Inference engine that serves the registry."""
    engine: EngineKind = "embedded"
    """`embedded` serves the registry's own folder; for `triton` a repository of Triton's is kept in
    `models/triton` beside it."""
    triton_instance_count: int = 0
    """Processes of Triton's that compute a model; 0: as many as this process may use cores."""
    allowed_roots: tuple[str, ...] = ()
    """Folders that model folders may be imported from."""
    import_timeout_seconds: float = 300.0
    """Time that one import may take."""
    import_memory_limit_bytes: int = 8 * 2**30
    """Address space that one import may take."""
    unload_grace_seconds: float = 60.0
    """A version that nobody watches any more stays loaded for so long, for requests that run and
    for watchers that come back."""
    engine_wait_seconds: float = 20.0
    """Time that an engine which cannot be reached has to come up, for example at the start."""

    def __post_init__(self) -> None:
        require_at_least(
            self,
            import_timeout_seconds=1.0,
            import_memory_limit_bytes=_LEAST_IMPORT_MEMORY_BYTES,
            unload_grace_seconds=0.0,
            engine_wait_seconds=0.1,
            triton_instance_count=0,
        )
