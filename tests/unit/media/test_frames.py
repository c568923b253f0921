"""Single frames survive encoding, and their gray and small versions are right."""

import numpy as np
import pytest

from shoal_core.errors import InvalidArgument
from shoal_media.frames import decode_image, encode_jpeg, encode_png, thumbnail, with_channels

RGB_HWC = np.random.default_rng(6).integers(0, 256, (31, 47, 3), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_keeps_every_pixel(channels) -> None:
    frame_HWC = RGB_HWC[..., :channels].copy()
    assert np.array_equal(decode_image(encode_png(frame_HWC)), frame_HWC)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_keeps_the_channels_apart(channels) -> None:
    frame_HWC = np.full((32, 32, channels), 40, np.uint8)
    frame_HWC[..., 0] = 200
    assert np.abs(decode_image(encode_jpeg(frame_HWC)).astype(int) - frame_HWC).max() <= 3


def test_a_higher_jpeg_quality_takes_more_bytes() -> None:
    sizes = [len(encode_jpeg(RGB_HWC, quality=quality)) for quality in (10, 50, 95)]
    assert sizes == sorted(sizes)


def test_gray_is_the_weighted_sum() -> None:
    exact_HW = RGB_HWC @ np.array([0.2989, 0.587, 0.114])
    assert np.abs(with_channels(RGB_HWC, 1)[..., 0] - exact_HW).max() <= 0.5 + 1e-3


def test_gray_to_rgb_repeats_the_channel() -> None:
    gray_HWC = RGB_HWC[..., :1]
    assert np.array_equal(with_channels(gray_HWC, 3), np.repeat(gray_HWC, 3, axis=2))


def test_a_thumbnail_keeps_shape_and_mean() -> None:
    small_HWC = thumbnail(RGB_HWC, max_side_px=16)
    assert small_HWC.shape == (11, 16, 3)
    assert np.abs(small_HWC.mean(axis=(0, 1)) - RGB_HWC.mean(axis=(0, 1))).max() < 2
    assert thumbnail(RGB_HWC[..., :1], max_side_px=16).shape == (11, 16, 1)
    assert thumbnail(RGB_HWC, max_side_px=47) is RGB_HWC


@pytest.mark.parametrize("encoded", [b"", b"nothing", encode_png(RGB_HWC)[:40]])
def test_bytes_that_are_no_image_are_refused(encoded: bytes) -> None:
    with pytest.raises(InvalidArgument) as refused:
        decode_image(encoded)
    assert refused.value.reason == "IMAGE_UNREADABLE"


@pytest.mark.parametrize("quality", [0, 101])
def test_a_quality_outside_the_scale_is_refused(quality: int) -> None:
    with pytest.raises(InvalidArgument) as refused:
        encode_jpeg(RGB_HWC, quality=quality)
    assert refused.value.reason == "QUALITY_OUT_OF_RANGE"
