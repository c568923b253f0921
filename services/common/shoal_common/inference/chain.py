"""How a served model is run: its parts in order, and which named value goes where.

A version folder holds `chain.json` (this), `contract.json`, one ONNX file per part and
`model.onnx`, the same parts composed into one graph without data-dependent shapes.

Running a chain: put the request's inputs under their names, run each step's graph on the
values that it names, put its outputs under theirs, and drop values that no later step
names. Steps between a compaction and its expansion have a first axis M, the number of
animals in the batch; M may be 0, and every part accepts that.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Self

from shoal_core.errors import InvalidArgument

CHAIN_FILE = "chain.json"
CONTRACT_FILE = "contract.json"
COMPOSED_FILE = "model.onnx"

StepKind = Literal["body", "glue"]
"""A body is a network (may run in reduced precision or another runtime); glue is float32."""


@dataclass(frozen=True)
class ChainStep:
    """One ONNX file of the chain."""

    name: str
    file: str
    """File name inside the version folder."""
    kind: StepKind
    inputs: Mapping[str, str]
    """Graph input → name of the value that goes in."""
    outputs: Mapping[str, str]
    """Graph output → name of the value that comes out."""


@dataclass(frozen=True)
class Chain:
    """The steps of a served model, in the order in which they run."""

    inputs: tuple[str, ...]
    """Values that a request brings (or the engine fills in from the contract's defaults).

    Optional inputs of the contract that no step reads are not listed.
    """
    outputs: tuple[str, ...]
    """Values that the response carries, named as in the pose contract."""
    steps: tuple[ChainStep, ...]

    def to_json(self) -> str:
        """Returns the chain as one JSON object."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Returns the chain that `to_json` wrote.

        Raises:
            InvalidArgument: CHAIN_INVALID when a key is missing or unknown, or a step reads
                a value that nothing before it made.
        """
        try:
            fields = json.loads(text)
            chain = cls(
                inputs=tuple(fields.pop("inputs")),
                outputs=tuple(fields.pop("outputs")),
                steps=tuple(ChainStep(**step) for step in fields.pop("steps")),
                **fields,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidArgument(
                "CHAIN_INVALID", f"The model's chain cannot be read: {error}; import it again."
            ) from error
        chain.check()
        return chain

    def check(self) -> None:
        """Checks that every value is made before it is read.

        Raises:
            InvalidArgument: CHAIN_INVALID names the first value that is missing.
        """
        known = set(self.inputs)
        for step in self.steps:
            self._require(known, step.inputs.values(), f"step {step.name!r}")
            known.update(step.outputs.values())
        self._require(known, self.outputs, "the response")

    @staticmethod
    def _require(known: set[str], names: Iterable[str], reader: str) -> None:
        for name in names:
            if name not in known:
                raise InvalidArgument(
                    "CHAIN_INVALID",
                    f"The model's chain is broken: {reader} reads {name!r}, which no earlier "
                    "step makes; import the model again.",
                    value=name,
                )
