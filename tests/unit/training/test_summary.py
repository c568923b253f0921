"""What a network costs, against what can be counted by hand."""

import torch

from shoal_training.config import UNetConfig
from shoal_training.heads import HeadSpec
from shoal_training.networks import build_network
from shoal_training.summary import summarize
from tests.unit.training.tiny_networks import tiny_network

CONFIG = UNetConfig(
    filters=2, filters_rate=1, max_stride=2, output_stride=2, convolutions_per_block=1
)


def test_figures_are_those_that_are_counted_by_hand() -> None:
    network = build_network(CONFIG, 1, (HeadSpec("CentroidConfmapsHead", 1, 2),))
    summary = summarize(network, (8, 8), batch_size=1)
    # Encoder 1 → 2 and middle 2 → 2, both 3×3, at strides 1 and 2; head 2 → 1, 1×1.
    assert summary.parameter_count == (9 * 2 + 2) + (9 * 2 * 2 + 2) + (2 + 1)
    assert summary.flops_per_image == 2 * (64 * 9 * 2 + 16 * 9 * 2 * 2 + 16 * 2)


def test_activations_grow_with_the_batch_and_weights_do_not() -> None:
    network = tiny_network("unet")
    one, four = (summarize(network, (64, 64), batch_size=size) for size in (1, 4))
    assert four.activation_bytes == 4 * one.activation_bytes
    assert one.training_bytes < four.training_bytes < 4 * one.training_bytes
    assert one.flops_per_image == four.flops_per_image


def test_summing_up_leaves_the_network_as_it_was() -> None:
    network = tiny_network("hourglass").train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    summarize(network, (2048, 2048), batch_size=64)
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
