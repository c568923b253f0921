"""The order of a model's parts survives its file, and a broken one is refused."""

import json

import pytest

from shoal_common.inference.chain import Chain, ChainStep
from shoal_core.errors import InvalidArgument

CHAIN = Chain(
    inputs=("images",),
    outputs=("peaks",),
    steps=(
        ChainStep("body", "body.onnx", "body", {"input": "images"}, {"Head_0": "body/Head_0"}),
        ChainStep("parts", "parts.onnx", "glue", {"maps": "body/Head_0"}, {"peaks": "peaks"}),
    ),
)


def test_a_chain_survives_its_file():
    assert Chain.from_json(CHAIN.to_json()) == CHAIN


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"inputs": [], "outputs": [], "steps": [3]}'])
def test_a_file_that_is_no_chain_is_refused(text):
    with pytest.raises(InvalidArgument) as caught:
        Chain.from_json(text)
    assert caught.value.reason == "CHAIN_INVALID"


def test_an_unknown_key_is_refused():
    with pytest.raises(InvalidArgument, match="speed"):
        Chain.from_json(json.dumps({**json.loads(CHAIN.to_json()), "speed": 1}))


@pytest.mark.parametrize(("key", "value"), [("inputs", []), ("outputs", ["scores"]), ("steps", [])])
def test_a_value_that_nothing_makes_is_named(key, value):
    with pytest.raises(InvalidArgument, match=r"images|scores|peaks"):
        Chain.from_json(json.dumps({**json.loads(CHAIN.to_json()), key: value}))
