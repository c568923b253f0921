"""What an orchestrator refuses to start with."""

from pathlib import Path

import pytest

from shoal_common.config import load_config
from shoal_core.errors import FailedPrecondition, InvalidArgument
from shoal_orchestrator.config import OrchestratorConfig
from shoal_orchestrator.home import owned_ledger_path

NEEDED = ["listen=unix:/s", "home=/h", "decode_target=unix:/d", "serving_target=unix:/m"]


@pytest.mark.parametrize("key", ["segment_frame_count", "lease_seconds", "max_attempts"])
@pytest.mark.parametrize("value", [0, -1])
def test_numbers_of_the_configuration_are_positive(key: str, value: int) -> None:
    with pytest.raises(InvalidArgument, match=key) as caught:
        load_config(OrchestratorConfig, None, [*NEEDED, f"{key}={value}"])
    assert caught.value.reason == "CONFIG_INVALID"


def test_one_orchestrator_at_a_time_uses_a_ledger(tmp_path: Path) -> None:
    with owned_ledger_path(tmp_path) as path:
        assert path == tmp_path / "jobs" / "ledger.db"
        with (
            pytest.raises(FailedPrecondition) as caught,
            owned_ledger_path(tmp_path),
        ):
            pass
        assert caught.value.reason == "LEDGER_IN_USE"
    with owned_ledger_path(tmp_path) as again:
        assert again == path
