"""What an orchestrator refuses to start with."""

import pytest

from shoal_common.config import load_config
from shoal_core.errors import InvalidArgument
from shoal_orchestrator.config import OrchestratorConfig

NEEDED = ["listen=unix:/s", "home=/h", "decode_target=unix:/d", "serving_target=unix:/m"]


@pytest.mark.parametrize("key", ["segment_frame_count", "lease_seconds", "max_attempts"])
@pytest.mark.parametrize("value", [0, -1])
def test_numbers_of_the_configuration_are_positive(key: str, value: int) -> None:
    with pytest.raises(InvalidArgument, match=key) as caught:
        load_config(OrchestratorConfig, None, [*NEEDED, f"{key}={value}"])
    assert caught.value.reason == "CONFIG_INVALID"
