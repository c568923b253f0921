"""Layers that double height and width."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

Upsampling = Literal["bilinear", "transposed"]


class Interpolation(nn.Module):
    """Twice the size by interpolation; bilinear has half-pixel centres."""

    def __init__(self, mode: Literal["bilinear", "nearest"]) -> None:
        super().__init__()
        self._mode = mode

    def forward(self, feature_BChw: Tensor) -> Tensor:
        """Returns [B, C, 2 h, 2 w]."""
        return functional.interpolate(feature_BChw, scale_factor=2.0, mode=self._mode)


class TransposedConv(nn.ConvTranspose2d):
    """Twice the size by a transposed convolution of stride 2.

    Of the (h − 1) · 2 + kernel rows, 2 · h are kept as TensorFlow's "SAME" keeps them: the
    surplus is cut half at the top and half at the bottom, the odd row at the bottom (kernel 3:
    the last row).
    """

    def __init__(self, channels: int, filters: int, kernel_size: int) -> None:
        surplus = kernel_size - 2
        super().__init__(channels, filters, kernel_size, stride=2, padding=surplus // 2)
        self._has_odd_row = surplus % 2 == 1

    def forward(self, feature_BChw: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Returns [B, filters, 2 h, 2 w]."""
        doubled = super().forward(feature_BChw, output_size)
        return doubled[..., :-1, :-1] if self._has_odd_row else doubled
