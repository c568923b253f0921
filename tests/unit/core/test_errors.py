"""Errors that were written down are the same when they are read."""

import json

import pytest

from shoal_core import errors

TYPES = errors.ShoalError.__subclasses__()


@pytest.mark.parametrize("error_type", TYPES)
def test_an_error_survives_json(error_type: type[errors.ShoalError]) -> None:
    written = json.dumps(error_type("A_REASON", "A message.", count=3).after(1.5).to_fields())
    read = errors.ShoalError.from_fields(json.loads(written))
    assert type(read) is error_type
    assert (read.reason, read.message, read.metadata) == ("A_REASON", "A message.", {"count": "3"})
    assert read.retry_after_s == 1.5
