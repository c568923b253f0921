"""Cross-entropy of a softmax over the pixels of a map, for maps with one peak at most.

Axis legend: B images, N nodes, h w map pixels, 2 = (x, y) in map pixels.
"""

import torch
from torch import Tensor


def softmax_loss(logits_BNhw: Tensor, points_BN2: Tensor, sigma_map_px: float) -> Tensor:
    """Returns the mean cross-entropy, over visible nodes, against a Gaussian that sums to 1.

    A node that is missing (NaN) or outside of the map counts for nothing; the loss is 0 where no
    node is visible.

    Args:
        logits_BNhw: one map per node.
        points_BN2: nodes in map pixels.
        sigma_map_px: standard deviation of the Gaussian in map pixels.
    """
    height, width = logits_BNhw.shape[2:]
    limits = points_BN2.new_tensor([width - 0.5, height - 0.5])
    visible_BN = ((points_BN2 >= -0.5) & (points_BN2 < limits)).all(dim=2)
    points = torch.where(visible_BN[..., None], points_BN2, 0)
    x_w = torch.arange(width, dtype=points.dtype, device=points.device)
    y_h = torch.arange(height, dtype=points.dtype, device=points.device)
    scale = -1 / (2 * sigma_map_px**2)
    columns_BNw = torch.softmax(scale * (x_w - points[..., :1]).square(), dim=2)
    rows_BNh = torch.softmax(scale * (y_h - points[..., 1:]).square(), dim=2)
    log_BNhw = logits_BNhw.flatten(2).log_softmax(dim=2).reshape(logits_BNhw.shape)
    loss_BN = -torch.einsum("bnhw,bnh,bnw->bn", log_BNhw, rows_BNh, columns_BNw)
    return torch.where(visible_BN, loss_BN, 0).sum() / visible_BN.sum().clamp(min=1)
