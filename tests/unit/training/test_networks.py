"""What every network must do, whatever its blocks."""

from dataclasses import replace

import pytest
import torch

from shoal_core.errors import FailedPrecondition, InvalidArgument
from shoal_training.config import HourglassConfig, PretrainedConfig, ResNetConfig, UNetConfig
from shoal_training.heads import HeadSpec, stack_name
from shoal_training.networks import build_network
from tests.unit.training.tiny_networks import CONFIGS, HEADS, SOFTMAX_HEADS, STRIDE, tiny_network

NAMES = sorted(CONFIGS)


def _images(max_stride: int, channels: int = 1) -> torch.Tensor:
    size = (2, channels, max_stride, 2 * max_stride)
    return torch.rand(size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_head_has_its_channels_at_its_stride(name: str, channels: int) -> None:
    network = tiny_network(name, HEADS, channels)
    images = _images(network.max_stride, channels)
    outputs = network(images)
    for spec in HEADS:
        shape = (2, spec.channels, images.shape[2] // STRIDE, images.shape[3] // STRIDE)
        assert outputs[spec.name].shape == shape


@pytest.mark.parametrize("name", NAMES)
def test_vectors_say_what_the_deepest_features_say_wherever_an_animal_is(name: str) -> None:
    network = tiny_network(name, SOFTMAX_HEADS)
    vectors = network(_images(network.max_stride))["ClassVectorsHead"]
    assert vectors.shape == (2, 2)


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_learns_from_the_losses_of_all_heads(name: str) -> None:
    finest = HeadSpec("PartAffinityFieldsHead", 2, CONFIGS[name].output_stride)
    network = tiny_network(name, (*HEADS, finest, SOFTMAX_HEADS[1])).train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            # A residual block may begin as its short cut, with nothing to learn inside.
            torch.nn.init.ones_(layer.weight)
    outputs = network(_images(2 * network.max_stride))
    sum(output.square().mean() for output in outputs.values()).backward()
    idle = [key for key, weight in network.named_parameters() if weight.grad is None]
    assert not idle


@pytest.mark.parametrize("name", NAMES)
def test_channels_last_changes_nothing_but_rounding(name: str) -> None:
    network = tiny_network(name)
    images = _images(network.max_stride)
    expected = network(images)
    network.to(memory_format=torch.channels_last)
    outputs = network(images.contiguous(memory_format=torch.channels_last))
    for key, output in outputs.items():
        torch.testing.assert_close(output, expected[key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_bf16_autocast_is_close_and_the_same_shape(name: str) -> None:
    network = tiny_network(name).to(memory_format=torch.channels_last)
    images = _images(network.max_stride)
    expected = network(images)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(images)
    for key, output in outputs.items():
        scale = expected[key].abs().max()
        assert (output.float() - expected[key]).abs().max() < 0.1 * scale + 1e-2


@pytest.mark.parametrize("name", ["unet_stacks", "hourglass"])
def test_every_stack_has_heads_and_inference_uses_the_last(name: str) -> None:
    network = tiny_network(name)
    images = _images(network.max_stride)
    outputs = network(images)
    assert set(outputs) == {key for spec in HEADS for key in (spec.name, stack_name(spec.name, 0))}
    inferred = network.inference_network()(images)
    assert list(inferred) == [spec.name for spec in HEADS]
    assert torch.equal(inferred[HEADS[0].name], outputs[HEADS[0].name])


@pytest.mark.parametrize("name", NAMES)
def test_inference_makes_probabilities_of_logits(name: str) -> None:
    network = tiny_network(name, (*HEADS, SOFTMAX_HEADS[1]))
    images = _images(network.max_stride)
    logits, inferred = network(images), network.inference_network()(images)
    assert torch.equal(inferred["ClassMapsHead"], logits["ClassMapsHead"].sigmoid())
    torch.testing.assert_close(inferred["ClassVectorsHead"].sum(1), torch.ones(2))


@pytest.mark.parametrize("name", NAMES)
def test_maps_of_sigmoids_begin_with_few_peaks(name: str) -> None:
    network = tiny_network(name, (replace(HEADS[0], output="sigmoid", prior=0.01),))
    says = network.inference_network()(_images(network.max_stride))[HEADS[0].name]
    assert 0.001 < float(says.detach().median()) < 0.1


def test_the_same_seed_draws_the_same_weights() -> None:
    first, second = (tiny_network("unet").state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_weights_begin_within_the_bounds_of_glorot() -> None:
    for key, weight in tiny_network("unet_finer").named_parameters():
        if weight.ndim == 1:
            assert not weight.any(), key
            continue
        area = weight.shape[2] * weight.shape[3]
        bound = (6 / ((weight.shape[0] + weight.shape[1]) * area)) ** 0.5
        assert 0.5 * bound < weight.abs().max() <= bound, key


def test_a_dilated_resnet_keeps_its_weights_and_sees_further() -> None:
    dilated = build_network(ResNetConfig(max_stride=8, decoder_filters=8), 1, HEADS)
    looks = [stage[-1].look.dilation for stage in dilated.backbone.stages]
    assert looks == [(1, 1), (1, 1), (2, 2), (4, 4)]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (UNetConfig(max_stride=12), "max_stride 12"),
        (UNetConfig(output_stride=32, max_stride=16), "max_stride 16"),
        (UNetConfig(stacks=2), "output_stride equal to the stem_stride"),
        (UNetConfig(filters=0), "at least 1"),
        (HourglassConfig(stem_stride=8), "give 1, 2 or 4"),
        (HourglassConfig(output_stride=2), "stem_stride, 4"),
        (HourglassConfig(max_stride=4), "8 or more"),
        (ResNetConfig(max_stride=64), "4, 8, 16 or 32"),
    ],
)
def test_networks_that_cannot_be_are_refused_by_name(config: UNetConfig, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        build_network(config, 1, HEADS)
    assert caught.value.reason == "NETWORK_INVALID"


def test_a_head_finer_than_the_network_is_refused_with_the_strides_there_are() -> None:
    with pytest.raises(InvalidArgument, match="strides 4, 8") as caught:
        build_network(CONFIGS["unet"], 1, (HeadSpec("CentroidConfmapsHead", 1, 2),))
    assert caught.value.reason == "NETWORK_INVALID"


def test_a_pretrained_encoder_without_timm_names_the_extra() -> None:
    with pytest.raises(FailedPrecondition, match=r"shoal-training\[backbones\]") as caught:
        build_network(PretrainedConfig(), 3, HEADS)
    assert caught.value.reason == "BACKBONES_MISSING"
