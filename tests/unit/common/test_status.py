"""An error crosses the wire as what it was."""

import errno

import pytest

from shoal_common.status import from_os_error, from_status, to_status
from shoal_core import errors

ALL_TYPES = errors.ShoalError.__subclasses__()


@pytest.mark.parametrize("error_type", ALL_TYPES)
def test_type_reason_message_and_metadata_survive_the_wire(
    error_type: type[errors.ShoalError],
) -> None:
    sent = error_type("SOME_REASON", "A sentence.", frame_index=7)
    received = from_status(to_status(sent))
    assert type(received) is error_type
    assert received.reason == "SOME_REASON"
    assert received.message == "A sentence."
    assert received.metadata == {"frame_index": "7"}
    assert received.retry_after_s is None


def test_when_to_ask_again_survives_the_wire() -> None:
    sent = errors.ResourceExhausted("FULL", "A sentence.", limit=3).after(0.25)
    received = from_status(to_status(sent))
    assert received.retry_after_s == 0.25
    assert (received.reason, received.metadata) == ("FULL", {"limit": "3"})


def test_a_full_disk_is_resource_exhausted() -> None:
    error = from_os_error(OSError(errno.ENOSPC, "No space left on device", "a.slp"))
    assert isinstance(error, errors.ResourceExhausted)
    assert error.reason == "DISK_FULL"
    assert "a.slp" in error.message


def test_other_system_errors_stay_bugs() -> None:
    assert from_os_error(OSError(errno.EBADF, "Bad file descriptor")) is None


def test_metadata_may_have_any_key() -> None:
    sent = errors.NotFound("GONE", "A sentence.", **{"reason": "x", "message": "y"})
    assert from_status(to_status(sent)).metadata == {"reason": "x", "message": "y"}
