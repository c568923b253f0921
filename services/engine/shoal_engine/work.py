"""One request that is being computed: parts, results, one end."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import Cancelled
from shoal_engine.graph import Stopper
from shoal_engine.models import Arrays, Model


class Work:
    """The frames of one request, each computed by whichever thread takes it."""

    def __init__(
        self,
        model: Model,
        inputs: Arrays,
        outputs: Sequence[str],
        *,
        frame_count: int | None,
        may_widen: bool,
    ) -> None:
        """Takes a request of `frame_count` frames, None if it cannot be cut.

        A request of one part may be allowed to use all threads.
        """
        self.part_count = frame_count or 1
        self.done: Future[tuple[int, int]] = Future()
        """When the first part began and the last one ended, or the first failure."""
        self.model = model
        self._inputs = inputs
        self._outputs = outputs
        self._is_whole = frame_count is None
        self._wide = may_widen and self.part_count == 1
        self._parts: list[dict[str, NDArray[Any]]] = [{}] * self.part_count
        self._stopper = Stopper()
        self._lock = threading.Lock()
        self._left = self.part_count
        self._start_ns = 0
        # What has begun cannot be cancelled behind our back; `stop` ends it.
        self.done.set_running_or_notify_cancel()

    def compute(self, part: int) -> None:
        """Computes one part; what it raises ends the whole request."""
        with self._lock:
            if self.done.done():
                return
            self._start_ns = self._start_ns or time.monotonic_ns()
        inputs = self._inputs
        if not self._is_whole:
            inputs = {name: array[part : part + 1] for name, array in inputs.items()}
        try:
            self._parts[part] = self.model.run(
                inputs, self._outputs, wide=self._wide, stopper=self._stopper
            )
        except BaseException as error:  # noqa: BLE001 -- it is the caller's, on another thread
            self._end(error)
            return
        with self._lock:
            self._left -= 1
            is_last = self._left == 0
        if is_last:
            self._end(None)

    def stop(self) -> None:
        """Ends the parts that are being computed, and begins no other."""
        self._stopper.stop()
        self._end(Cancelled("REQUEST_STOPPED", "The request was stopped."))

    def results(self) -> dict[str, NDArray[Any]]:
        """Returns the outputs of all parts, in their order."""
        if self.part_count == 1:
            return self._parts[0]
        return {
            name: np.concatenate([part[name] for part in self._parts]) for name in self._outputs
        }

    def _end(self, error: BaseException | None) -> None:
        with self._lock:
            if self.done.done():
                return
            if error is None:
                self.done.set_result((self._start_ns, time.monotonic_ns()))
            else:
                self.done.set_exception(error)
