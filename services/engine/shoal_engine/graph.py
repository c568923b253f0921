"""What every runtime of a graph has in common: how it is called, stopped, and what it raises."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from shoal_core.errors import Cancelled, InvalidArgument, ResourceExhausted, ShoalError
from shoal_engine.tensors import TensorSpec


@dataclass(frozen=True)
class Threads:
    """How many threads compute."""

    stream_count: int
    """Runs at once, each on one thread."""
    wide_count: int
    """Threads of a run that has the engine to itself."""


class Stopper:
    """Ends what runs with it; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: list[Callable[[], None]] = []
        self._is_stopped = False

    def check(self) -> None:
        """Does nothing until the stopper is used.

        Raises:
            Cancelled: REQUEST_STOPPED from then on.
        """
        if self._is_stopped:
            raise Cancelled("REQUEST_STOPPED", "The request was stopped.")

    @contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """Calls `end` when the stopper is used inside the block, and never after it.

        Raises:
            Cancelled: REQUEST_STOPPED when the stopper was used, before the block or inside it.
        """
        with self._lock:
            self.check()
            self._ends.append(end)
        try:
            yield
        except ShoalError:
            self.check()  # what was ended raises something; the cause is here
            raise
        finally:
            with self._lock:
                self._ends.remove(end)

    def stop(self) -> None:
        """Ends the runs, and those that have not begun."""
        with self._lock:
            self._is_stopped = True
            for end in self._ends:
                end()


class Graph(Protocol):
    """One network or piece of glue, ready to run; safe to run from several threads at once."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What it takes."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What it gives."""
        ...

    @property
    def is_exact(self) -> bool:
        """Whether results are the same bit for bit with any number of threads."""
        ...

    def run(
        self,
        inputs: Mapping[str, NDArray[Any]],
        outputs: Sequence[str],
        *,
        wide: bool,
        stopper: Stopper,
    ) -> list[NDArray[Any]]:
        """Returns the named outputs; `inputs` are contiguous.

        Raises:
            InvalidArgument: INPUT_REJECTED when the graph cannot work on such inputs.
            ResourceExhausted: MEMORY_FULL when it does not fit into memory.
            Cancelled: REQUEST_STOPPED when the stopper was used.
        """
        ...


def run_error(error: Exception) -> ShoalError:
    """Returns what a runtime's failure means to the caller."""
    line = one_line(error).removeprefix("Error in execution: ")
    is_memory = isinstance(error, MemoryError) or "Failed to allocate memory" in line
    if is_memory or "bad allocation" in line or "bad_alloc" in line:
        return ResourceExhausted(
            "MEMORY_FULL", "The request does not fit into memory; send fewer or smaller frames."
        )
    return InvalidArgument("INPUT_REJECTED", f"The model cannot work on these inputs: {line}")


def one_line(error: Exception) -> str:
    """Returns the first line of what a runtime says."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
