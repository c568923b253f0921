"""A loaded model version: a chain of graphs, or a single ONNX file.

A chain follows the pose contract, so its inputs and outputs all begin with the axis of frames
B, frames do not depend on one another, and a request can be cut into parts along B.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shoal_common.inference.chain import CHAIN_FILE, COMPOSED_FILE, CONTRACT_FILE, Chain, ChainStep
from shoal_common.inference.contract import PoseContract
from shoal_common.inference.tuning import TUNING_FILE, Backend, Tuning
from shoal_core.errors import FailedPrecondition, InvalidArgument
from shoal_engine.backends import load_body, load_graph, load_untuned
from shoal_engine.graph import Graph, Stopper, Threads
from shoal_engine.tensors import ANY_LENGTH, DTYPES, TensorSpec

Arrays = Mapping[str, NDArray[Any]]

IMAGES = "images"
LINE_SAMPLES = "line_samples"
CROP_PEAK_THRESHOLD = "crop_peak_threshold"
"""Where along the line from a peak to another, 0 to 1, fields are read; ten places by default."""
_WARM_UP_SIDE_PX = 128
_LINE_SAMPLES_T = np.linspace(0, 1, 10, dtype=np.float32)
_OPTIONAL = (
    TensorSpec("peak_threshold", "FP32", (ANY_LENGTH, 1), optional=True),
    TensorSpec(CROP_PEAK_THRESHOLD, "FP32", (ANY_LENGTH, 1), optional=True),
    TensorSpec("max_instances", "INT32", (ANY_LENGTH, 1), optional=True),
    TensorSpec(LINE_SAMPLES, "FP32", (ANY_LENGTH, ANY_LENGTH), optional=True),
)
"""Inputs that every pose model accepts, whether or not its chain reads them."""


@dataclass(frozen=True)
class _Step:
    graph: Graph
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    unused_after: tuple[str, ...]
    """Values that neither a later step nor the response needs."""

    def run(self, values: dict[str, NDArray[Any]], *, wide: bool, stopper: Stopper) -> None:
        inputs = {name: values[value] for name, value in self.inputs.items()}
        results = self.graph.run(inputs, list(self.outputs), wide=wide, stopper=stopper)
        values.update(zip(self.outputs.values(), results, strict=True))
        for value in self.unused_after:
            del values[value]


@dataclass(frozen=True, eq=False)
class Model:
    """One version of a model, ready to run; safe to use from several threads at once."""

    name: str
    version: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    contract: PoseContract | None
    """None for a single ONNX file."""
    chain_inputs: frozenset[str]
    steps: tuple[_Step, ...]

    @classmethod
    def load(
        cls, folder: Path, name: str, version: int, *, threads: Threads, processor: str
    ) -> Self:
        """Returns the model of a version folder, warmed up where its inputs are known.

        Args:
            folder: The version's files.
            name: The model's name.
            version: The version's number.
            threads: What may compute.
            processor: What this machine has; tunings for another one do not count.

        Raises:
            FailedPrecondition: MODEL_LOAD_FAILED when a file is missing or damaged.
            InvalidArgument: CHAIN_INVALID, CONTRACT_INVALID or TUNING_INVALID.
        """
        if not (folder / CHAIN_FILE).is_file():
            return cls._load_single(folder, name, version, threads)
        chain = Chain.from_json((folder / CHAIN_FILE).read_text())
        contract = PoseContract.from_json(_required(folder / CONTRACT_FILE).read_text())
        steps = _steps(chain, folder, threads, _backends(folder, processor))
        made = {value: spec for step in steps for value, spec in _made(step).items()}
        read = {value: spec for step in reversed(steps) for value, spec in _read(step).items()}
        optional = {spec.name: spec for spec in _OPTIONAL}
        inputs = [_renamed(read[value], value) for value in chain.inputs if value not in optional]
        outputs = [_renamed(made[value], value) for value in chain.outputs]
        model = cls(
            name=name,
            version=version,
            inputs=(*inputs, *_OPTIONAL),
            outputs=tuple(outputs),
            contract=contract,
            chain_inputs=frozenset(chain.inputs),
            steps=steps,
        )
        model._warm_up(contract.channels)
        return model

    @classmethod
    def _load_single(cls, folder: Path, name: str, version: int, threads: Threads) -> Self:
        graph = load_graph(_required(folder / COMPOSED_FILE), threads.wide_count)
        input_names = [spec.name for spec in graph.inputs]
        output_names = [spec.name for spec in graph.outputs]
        step = _Step(
            graph,
            inputs=dict(zip(input_names, input_names, strict=True)),
            outputs=dict(zip(output_names, output_names, strict=True)),
            unused_after=tuple(set(input_names) - set(output_names)),
        )
        return cls(
            name=name,
            version=version,
            inputs=graph.inputs,
            outputs=graph.outputs,
            contract=None,
            chain_inputs=frozenset(input_names),
            steps=(step,),
        )

    @property
    def is_exact(self) -> bool:
        """Whether results are the same bit for bit on one thread and on all."""
        return all(step.graph.is_exact for step in self.steps)

    def frame_count(self, inputs: Arrays) -> int | None:
        """Returns the frames B of a request, None if it cannot be cut into parts.

        Raises:
            InvalidArgument: INPUT_SHAPE_MISMATCH when the inputs break the pose contract.
        """
        if self.contract is None:
            return None
        images_BHWC = inputs[IMAGES]
        frame_count, channels = images_BHWC.shape[0], images_BHWC.shape[3]
        if 0 in images_BHWC.shape or channels not in (1, 3):
            raise InvalidArgument(
                "INPUT_SHAPE_MISMATCH",
                f"Input 'images' has shape {list(images_BHWC.shape)}; it takes at least one frame "
                "[B, H, W, C] of 1 or 3 channels.",
                input=IMAGES,
            )
        for name, array in inputs.items():
            if len(array) != frame_count:
                raise InvalidArgument(
                    "INPUT_SHAPE_MISMATCH",
                    f"Input {name!r} has shape {list(array.shape)}; its first axis must be "
                    f"{frame_count}, the number of frames in 'images'.",
                    input=name,
                )
        return int(frame_count)

    def run(
        self,
        inputs: Arrays,
        outputs: Sequence[str],
        *,
        wide: bool,
        stopper: Stopper,
    ) -> dict[str, NDArray[Any]]:
        """Returns the named outputs.

        Args:
            inputs: Every input that is not optional, checked.
            outputs: Names of the wanted outputs.
            wide: Whether to use all threads; results do not depend on it if `is_exact`.
            stopper: Ends the run when it is used.

        Raises:
            InvalidArgument: INPUT_REJECTED when a graph cannot work on such inputs.
            FailedPrecondition: MODEL_OUTDATED when the chain is too old for an input.
            ResourceExhausted: MEMORY_FULL when it does not fit into memory.
            Cancelled: REQUEST_STOPPED when the stopper was used.
        """
        filled = self._with_defaults(inputs)
        values = {
            name: np.require(array, requirements=["C", "A"])
            for name, array in filled.items()
            if name in self.chain_inputs
        }
        for step in self.steps:
            step.run(values, wide=wide, stopper=stopper)
        return {name: values[name] for name in outputs}

    def _with_defaults(self, inputs: Arrays) -> Arrays:
        if self.contract is None:
            return inputs
        if LINE_SAMPLES in inputs and self.contract.kind == "bottomup":
            self._require_input(LINE_SAMPLES)
        if CROP_PEAK_THRESHOLD in inputs and self.contract.has_two_stages:
            self._require_input(CROP_PEAK_THRESHOLD)
        shape = (len(inputs[IMAGES]), 1)
        peak, crop = self.contract.peak_threshold, self.contract.crop_peak_threshold
        thresholds = np.full(shape, peak, np.float32)
        crop_thresholds = thresholds if crop is None else np.full(shape, crop, np.float32)
        return {
            "peak_threshold": thresholds,
            CROP_PEAK_THRESHOLD: inputs.get("peak_threshold", crop_thresholds),
            "max_instances": np.full(shape, self.contract.max_instances, np.int32),
            LINE_SAMPLES: np.tile(_LINE_SAMPLES_T, shape),
            **inputs,
        }

    def _require_input(self, name: str) -> None:
        """Refuses what a chain that was made by an older Shoal would ignore."""
        if name not in self.chain_inputs:
            raise FailedPrecondition(
                "MODEL_OUTDATED",
                f"Model {self.name!r} was imported before it could take {name!r}; delete it and "
                "import it again.",
                input=name,
            )

    def _warm_up(self, channels: int) -> None:
        """Runs one black frame both ways, so that the first request finds everything in place."""
        known = {0: 1, 1: _WARM_UP_SIDE_PX, 2: _WARM_UP_SIDE_PX, 3: channels}
        inputs = {
            spec.name: np.zeros(
                [known.get(axis, 1) if n == ANY_LENGTH else n for axis, n in enumerate(spec.shape)]
                if spec.name == IMAGES
                else [1 if n == ANY_LENGTH else n for n in spec.shape],
                DTYPES[spec.datatype],
            )
            for spec in self.inputs
            if not spec.optional
        }
        for wide in (True, False):
            self.run(inputs, [spec.name for spec in self.outputs], wide=wide, stopper=Stopper())


def _backends(folder: Path, processor: str) -> Mapping[str, Backend]:
    """Returns the backend of each network that was tuned or pinned."""
    path = folder / TUNING_FILE
    if not path.is_file():
        return {}
    tuning = Tuning.from_json(path.read_text())
    return tuning.backends if tuning.counts_on(processor) else {}


def _steps(
    chain: Chain, folder: Path, threads: Threads, backends: Mapping[str, Backend]
) -> tuple[_Step, ...]:
    last_reader = dict.fromkeys(chain.inputs, -1)
    for index, step in enumerate(chain.steps):
        last_reader.update(dict.fromkeys(step.outputs.values(), index))
        last_reader.update(dict.fromkeys(step.inputs.values(), index))
    for value in chain.outputs:
        last_reader[value] = len(chain.steps)
    return tuple(
        _load_step(
            step,
            _load_graph(step, folder, threads, backends),
            tuple(value for value, reader in last_reader.items() if reader == index),
        )
        for index, step in enumerate(chain.steps)
    )


def _load_graph(
    step: ChainStep, folder: Path, threads: Threads, backends: Mapping[str, Backend]
) -> Graph:
    path = _required(folder / step.file)
    if step.kind == "glue":
        return load_graph(path, 1)
    backend = backends.get(step.name)
    return load_untuned(path, threads) if backend is None else load_body(path, backend, threads)


def _load_step(step: ChainStep, graph: Graph, unused_after: tuple[str, ...]) -> _Step:
    known = {spec.name for spec in graph.inputs} | {spec.name for spec in graph.outputs}
    for name in (*step.inputs, *step.outputs):
        if name not in known:
            raise FailedPrecondition(
                "MODEL_LOAD_FAILED",
                f"{step.file} has no {name!r}, which the chain's step {step.name!r} names; import "
                "the model again.",
                file=step.file,
            )
    return _Step(graph, step.inputs, step.outputs, unused_after)


def _read(step: _Step) -> dict[str, TensorSpec]:
    return {step.inputs[spec.name]: spec for spec in step.graph.inputs if spec.name in step.inputs}


def _made(step: _Step) -> dict[str, TensorSpec]:
    return {
        step.outputs[spec.name]: spec for spec in step.graph.outputs if spec.name in step.outputs
    }


def _renamed(spec: TensorSpec, name: str) -> TensorSpec:
    return TensorSpec(name, spec.datatype, spec.shape)


def _required(path: Path) -> Path:
    if not path.is_file():
        raise FailedPrecondition(
            "MODEL_LOAD_FAILED", f"The model has no {path.name}; import it again.", file=path.name
        )
    return path
