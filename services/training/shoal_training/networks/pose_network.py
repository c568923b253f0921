"""A backbone with its heads: what training trains and what becomes a served model."""

from collections.abc import Sequence

from torch import Tensor, nn

from shoal_training.heads import HeadSpec, stack_name
from shoal_training.networks.head_layers import StackHeads
from shoal_training.networks.inference import InferenceNetwork
from shoal_training.networks.pyramid import Backbone


class PoseNetwork(nn.Module):
    """Images [B, C, H, W] (0 … 1; H and W multiples of `max_stride`) → heads by name."""

    def __init__(self, backbone: Backbone, channels: int, heads: Sequence[HeadSpec]) -> None:
        """Takes the backbone, the channels of its images and what the heads say.

        Raises:
            InvalidArgument: NETWORK_INVALID when the backbone has no feature for a head.
        """
        super().__init__()
        self.channels = channels
        self.heads = tuple(heads)
        self.backbone = backbone
        self.head_layers = nn.ModuleList(
            StackHeads(heads, backbone) for _ in range(backbone.stack_count)
        )

    @property
    def max_stride(self) -> int:
        """Heights and widths of images are multiples of this."""
        return self.backbone.max_stride

    def forward(self, images_BCHW: Tensor) -> dict[str, Tensor]:
        """Returns each head's maps [B, channels, h, w] or vectors [B, channels].

        Before any sigmoid or softmax. Those of the last stack are under the heads' names, those
        of earlier ones under `stack_name(name, stack)`.
        """
        outputs = {}
        pyramids = self.backbone(images_BCHW)
        last = len(pyramids) - 1
        for stack, (pyramid, layers) in enumerate(zip(pyramids, self.head_layers, strict=True)):
            for name, output in layers(pyramid).items():
                outputs[name if stack == last else stack_name(name, stack)] = output
        return outputs

    def inference_network(self) -> InferenceNetwork:
        """Returns the network, with the same weights, as serving runs it."""
        return InferenceNetwork(self, self.heads)
