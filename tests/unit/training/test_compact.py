"""Laws of the compact network."""

from dataclasses import replace

import pytest
import torch

from shoal_core.errors import InvalidArgument
from shoal_training.config import CompactConfig
from shoal_training.networks.compact import Compact, ResidualBlock

SMALL = CompactConfig(filters=(8, 12, 16), fine_filters=4)


@pytest.mark.parametrize("output_stride", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_there_is_a_feature_of_every_stride_that_it_names(
    output_stride: int, channels: int
) -> None:
    network = Compact(replace(SMALL, output_stride=output_stride), channels)
    [pyramid] = network(torch.zeros(2, channels, 48, 64))
    shapes = {stride: tuple(feature.shape) for stride, feature in pyramid.by_stride.items()}
    assert shapes == {
        stride: (2, filters, 48 // stride, 64 // stride)
        for stride, filters in network.channels_by_stride.items()
    }
    assert output_stride in shapes
    assert pyramid.deepest.shape[1] == network.deepest_channels


def test_a_block_begins_as_its_short_cut() -> None:
    feature = torch.rand(2, 6, 8, 8)
    assert torch.equal(ResidualBlock(6, 6).eval()(feature), feature)


@pytest.mark.parametrize(
    "wrong",
    [
        {"blocks": (1, 1)},
        {"blocks": (1, 0, 1)},
        {"up_blocks": (1, 1, 1)},
        {"up_blocks": (1, -1)},
        {"output_stride": 3},
    ],
)
def test_blocks_and_strides_that_do_not_fit_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        Compact(replace(SMALL, **wrong), 1)
    assert refused.value.reason == "NETWORK_INVALID"
