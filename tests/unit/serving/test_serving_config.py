"""A configuration that cannot work is refused at the start."""

from pathlib import Path

import pytest

from shoal_core.errors import InvalidArgument
from shoal_serving.config import ServingConfig


@pytest.mark.parametrize(
    "key", ["import_timeout_seconds", "import_memory_limit_bytes", "engine_wait_seconds"]
)
def test_a_limit_that_nothing_could_keep_is_refused(key: str) -> None:
    with pytest.raises(InvalidArgument, match=key):
        ServingConfig(listen="127.0.0.1:0", home=Path("/home"), **{key: 0})
