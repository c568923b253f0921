"""The encoders of sleap-nn's ConvNeXt and Swin backbones as plain torch.

Each takes a network of `torch_unet`, which makes a layer when it is first asked for, and an
image; it returns the last feature and what each stage begins with.
"""

import torch
from torch import nn
from torch.nn import functional

NAME = "backbone.enc"


def convnext(network, x):
    config, name = network.backbone, f"{NAME}.features"
    channels, depths = config["arch"]["channels"], config["arch"]["depths"]
    size, stride = config["stem_patch_kernel"], config["stem_patch_stride"]
    x = network.layer(f"{name}.0.0", nn.Conv2d, x, channels[0], size, stride, 1)
    starts = [network.normalized(f"{name}.0.1", x, 1e-6)]
    for stage, depth in enumerate(depths):
        x = starts[-1]
        for block in range(depth):
            x = _convnext_block(network, f"{name}.{2 * stage + 1}.{block}", x)
        if stage < len(depths) - 1:
            x = network.normalized(f"{name}.{2 * stage + 2}.0", x, 1e-6)
            down = f"{name}.{2 * stage + 2}.1"
            starts.append(network.layer(down, nn.Conv2d, x, channels[stage + 1], 2, 2))
    return x, starts


def _convnext_block(network, name, x):
    count = x.shape[1]
    made = network.layer(f"{name}.block.0", nn.Conv2d, x, count, 7, padding=3, groups=count)
    made = network.normalized(f"{name}.block.2", made, 1e-6).movedim(1, -1)
    made = functional.gelu(network.linear(f"{name}.block.3", made, 4 * count))
    made = network.linear(f"{name}.block.5", made, count).movedim(-1, 1)
    return x + network.tensor(f"{name}.layer_scale", count, 1, 1) * made


def swin(network, x):
    config, name = network.backbone, f"{NAME}.features"
    arch, side = config["arch"], config["window_size"]
    size, stride = config["patch_size"], config["stem_patch_stride"]
    x = network.layer(f"{name}.0.0", nn.Conv2d, x, arch["embed"], size, stride, 1)
    starts = [network.normalized(f"{name}.0.2", x, 1e-5)]
    for stage, (depth, heads) in enumerate(zip(arch["depths"], arch["num_heads"], strict=True)):
        x = starts[-1]
        for block in range(depth):
            shift = side // 2 * (block % 2)
            x = _swin_block(network, f"{name}.{2 * stage + 1}.{block}", x, heads, side, shift)
        if stage < len(arch["depths"]) - 1:
            squares = [x[:, :, i::2, j::2] for j in (0, 1) for i in (0, 1)]
            x = network.normalized(f"{name}.{2 * stage + 2}.norm", torch.cat(squares, dim=1), 1e-5)
            merge = f"{name}.{2 * stage + 2}.reduction"
            made = network.linear(merge, x.movedim(1, -1), x.shape[1] // 2, bias=False)
            starts.append(made.movedim(-1, 1))
    return network.normalized(f"{NAME}.norm", x, 1e-5), starts


def _swin_block(network, name, x, heads, side, shift):
    normal = network.normalized(f"{name}.norm1", x, 1e-5).movedim(1, -1)
    x = x + _attention(network, f"{name}.attn", normal, heads, side, shift).movedim(-1, 1)
    made = network.normalized(f"{name}.norm2", x, 1e-5).movedim(1, -1)
    made = functional.gelu(network.linear(f"{name}.mlp.0", made, 4 * x.shape[1]))
    return x + network.linear(f"{name}.mlp.3", made, x.shape[1]).movedim(-1, 1)


def _attention(network, name, x_BHWC, heads, side, shift):
    """Window by window; pixels that were a window or more apart do not see each other."""
    height, width, channels = x_BHWC.shape[1:]
    table = network.tensor(f"{name}.relative_position_bias_table", (2 * side - 1) ** 2, heads)
    network.tensor(f"{name}.relative_position_index", side**4)
    padded = functional.pad(x_BHWC, (0, 0, 0, -width % side, 0, -height % side))
    shifts = [shift if length > side else 0 for length in padded.shape[1:3]]
    qkv = network.linear(f"{name}.qkv", padded, 3 * channels)
    rows = torch.arange(padded.shape[1]).roll(-shifts[0])
    columns = torch.arange(padded.shape[2]).roll(-shifts[1])
    gathered = torch.zeros_like(padded)
    for top in range(0, len(rows), side):
        for left in range(0, len(columns), side):
            at = torch.cartesian_prod(rows[top : top + side], columns[left : left + side])
            step = torch.cartesian_prod(torch.arange(side), torch.arange(side))
            place = step[:, None] - step + side - 1
            bias = table[place[..., 0] * (2 * side - 1) + place[..., 1]].movedim(-1, 0)
            near = ((at[:, None] - at).abs() < side).all(-1)
            bias = bias + torch.where(near, 0.0, -100.0)
            window = qkv[:, at[:, 0], at[:, 1]].unflatten(-1, (3, heads, -1))
            q, k, v = window.movedim(2, 0).movedim(3, 2)
            weights = (q @ k.mT * (channels // heads) ** -0.5 + bias).softmax(-1)
            gathered[:, at[:, 0], at[:, 1]] = (weights @ v).movedim(1, 2).flatten(2)
    return network.linear(f"{name}.proj", gathered, channels)[:, :height, :width]
