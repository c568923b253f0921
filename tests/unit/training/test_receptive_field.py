"""The formula of the receptive field against what pixels a network really sees."""

import pytest
import torch

from shoal_core.errors import InvalidArgument
from shoal_training.config import (
    HourglassConfig,
    LeapConfig,
    NetworkConfig,
    PretrainedConfig,
    ResNetConfig,
    UNetConfig,
)
from shoal_training.heads import HeadSpec
from shoal_training.networks import build_network
from shoal_training.networks.pyramid import Backbone
from shoal_training.receptive_field import (
    Window,
    field_of,
    receptive_field_px,
    suggest_max_stride,
)


def _seen_px(backbone: Backbone, side: int) -> int:
    """Returns how many rows of pixels change the middle feature of the deepest ones.

    With weights above 0 and a black image, a bright row is seen exactly where the feature is
    then above 0. The rows that are seen are neighbours, so both ends are found by halving.
    """
    for layer in backbone.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.constant_(layer.weight, 1.0 / layer.weight[0].numel())
    backbone = backbone.double().eval()
    width = backbone.max_stride
    middle = side // width // 2

    def is_seen(row: int) -> bool:
        image = torch.zeros(1, 1, side, width, dtype=torch.double)
        image[:, :, row] = 1.0
        with torch.no_grad():
            return bool((backbone(image)[0].deepest[:, :, middle] > 0).any())

    def last_seen(inside: int, outside: int) -> int:
        assert is_seen(inside)
        assert not is_seen(outside)
        while abs(outside - inside) > 1:
            halfway = (inside + outside) // 2
            inside, outside = (halfway, outside) if is_seen(halfway) else (inside, halfway)
        return inside

    centre = middle * width
    return last_seen(centre, side - 1) - last_seen(centre, 0) + 1


def _backbone(config: NetworkConfig) -> Backbone:
    spec = HeadSpec("CentroidConfmapsHead", 1, config.output_stride)
    backbone = build_network(config, 1, (spec,)).backbone
    assert isinstance(backbone, Backbone)
    return backbone


@pytest.mark.parametrize(
    ("config", "expected_px"),
    [
        (UNetConfig(filters=1, filters_rate=1, max_stride=8, middle_block=False), 36),
        (UNetConfig(filters=1, filters_rate=1, max_stride=16, middle_block=False), 76),
        (UNetConfig(filters=1, filters_rate=1, max_stride=32, middle_block=False), 156),
        (
            UNetConfig(
                filters=1,
                filters_rate=1,
                max_stride=16,
                convolutions_per_block=3,
                middle_block=False,
            ),
            106,
        ),
        (
            UNetConfig(filters=1, filters_rate=1, max_stride=16, stem_stride=4, middle_block=False),
            None,
        ),
        (LeapConfig(filters=1, filters_rate=1, max_stride=8), 50),
        (
            HourglassConfig(stem_filters=1, filters=1, filter_increase=0, max_stride=32, stacks=1),
            None,
        ),
        pytest.param(ResNetConfig(max_stride=8, output_stride=8), None, marks=pytest.mark.slow),
        pytest.param(ResNetConfig(max_stride=32, output_stride=32), None, marks=pytest.mark.slow),
    ],
    ids=lambda value: f"{value.type}{value.max_stride}" if hasattr(value, "max_stride") else None,
)
def test_the_formula_counts_exactly_the_pixels_that_are_seen(
    config: NetworkConfig, expected_px: int | None
) -> None:
    field_px = receptive_field_px(config)
    assert field_px is not None
    assert expected_px in (None, field_px)
    backbone = _backbone(config)
    side = (2 * field_px // backbone.max_stride + 4) * backbone.max_stride
    assert _seen_px(backbone, side) == field_px


def test_a_middle_block_sees_further_than_the_encoder_that_is_counted() -> None:
    config = UNetConfig(filters=1, filters_rate=1, max_stride=8)
    assert _seen_px(_backbone(config), 160) == 36 + 2 * 2 * 8


def test_the_strides_before_a_layer_multiply_its_reach_and_its_own_does_not() -> None:
    assert field_of([Window(3, 2)]) == 3
    assert field_of([Window(3, 2), Window(3)]) == 3 + 2 * 2
    assert field_of([Window(3, 1, 4)]) == 9


def test_the_suggested_stride_is_the_least_that_sees_the_animal() -> None:
    assert [suggest_max_stride(size) for size in (10, 36, 37, 76, 77, 156, 157, 5000)] == [
        8,
        8,
        16,
        16,
        32,
        32,
        64,
        64,
    ]


def test_of_other_peoples_encoders_no_field_is_claimed() -> None:
    assert receptive_field_px(PretrainedConfig()) is None


def test_strides_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="max_stride"):
        receptive_field_px(UNetConfig(max_stride=24))
