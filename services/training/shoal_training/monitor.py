"""SLEAP's messages over ZeroMQ: progress out, commands in.

Each message is one JSON text {"what", "event", "logs", …} as SLEAP's loss viewer reads it. One
event more than SLEAP's, `heartbeat`, says that work goes on; the viewer ignores it.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import zmq

from shoal_core.errors import InvalidArgument, ShoalError
from shoal_training.commands import Command, SetLearningRate, Stop
from shoal_training.config import MonitorConfig
from shoal_training.reports import BatchReport, EpochReport, Listener

LOGGER = logging.getLogger(__name__)
HEARTBEAT_S = 2.0
QUEUE_MESSAGES = 1000
"""That a peer may fall behind; what comes on top is dropped for it."""
GREETING_S = 1.0


class Monitor(Listener):
    """Publishes reports and takes commands; nothing here ever waits for a peer."""

    def __init__(
        self,
        config: MonitorConfig,
        what: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connects.

        Args:
            config: Endpoints.
            what: Which model is trained; SLEAP's viewer shows one at a time.
            clock: Monotonic seconds, for heartbeats.

        Raises:
            InvalidArgument: ENDPOINT_INVALID when ZeroMQ cannot make sense of an endpoint.
        """
        self.dropped_count = 0
        """Messages that a peer, or all of them, did not get."""
        self._what = what
        self._clock = clock
        self._sent_s = -math.inf
        self._context = zmq.Context()
        self._publishers = [self._connect(zmq.XPUB, url) for url in config.publish]
        self._controls = [self._connect(zmq.SUB, url) for url in config.control]

    def greet(self) -> None:
        """Waits up to a second for viewers that are there, which would miss the first message."""
        deadline_s = self._clock() + GREETING_S
        for publisher in self._publishers:
            # A subscription arrives as a message of its own.
            publisher.poll(max(0, int(1000 * (deadline_s - self._clock()))))

    def train_begin(self) -> None:
        """Training begins or goes on."""
        self._send("train_begin", logs=None)

    def epoch_begin(self, epoch: int) -> None:
        """An epoch begins, 0 for the first."""
        self._send("epoch_begin", epoch=epoch, logs=None)

    def batch_end(self, report: BatchReport) -> None:
        """A step was made."""
        logs = {
            "loss": report.loss,
            "lr": report.learning_rate,
            "step": report.step,
            "batches": report.batches,
            "epochs": report.epochs,
            "samples_per_s": report.samples_per_s,
            "remaining_s": report.remaining_s,
        }
        self._send("batch_end", epoch=report.epoch, batch=report.batch, logs=logs)

    def epoch_end(self, report: EpochReport) -> None:
        """An epoch and its validation are over."""
        logs: dict[str, Any] = {"loss": report.training.total, "lr": report.learning_rate}
        logs |= report.training.parts
        if report.validation is not None:
            logs["val_loss"] = report.validation.total
            logs |= {f"val_{name}": loss for name, loss in report.validation.parts.items()}
        logs |= {
            "step": report.steps,
            "epochs": report.epochs,
            "best_val_loss": report.best_loss,
            "remaining_s": report.remaining_s,
            "samples_per_s": report.samples_per_s,
            "seconds": report.seconds,
            "is_best": report.is_best,
        }
        self._send("epoch_end", epoch=report.epoch, logs=logs)

    def train_end(self) -> None:
        """Training is over, whatever the reason."""
        self._send("train_end", logs=None)

    def beat(self) -> None:
        """Sends a heartbeat where nothing was sent for a while."""
        if self._clock() - self._sent_s >= HEARTBEAT_S:
            self._send("heartbeat", logs=None)

    def commands(self) -> Sequence[Command]:
        """Returns the commands that have come since; what is not understood is logged."""
        messages = [message for control in self._controls for message in _received(control)]
        return [command for message in messages if (command := _command(message)) is not None]

    def close(self) -> None:
        """Closes the sockets; what was sent has a second to leave."""
        if self.dropped_count:
            LOGGER.warning("A slow monitor missed %d messages.", self.dropped_count)
        self._context.destroy(linger=1000)

    def _connect(self, kind: int, endpoint: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.SNDHWM, QUEUE_MESSAGES)
        if kind == zmq.XPUB:
            # Without this a full queue drops messages without a word.
            socket.setsockopt(zmq.XPUB_NODROP, 1)
        else:
            socket.setsockopt(zmq.SUBSCRIBE, b"")
        try:
            socket.connect(endpoint)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise InvalidArgument(
                "ENDPOINT_INVALID",
                f"Cannot connect to {endpoint!r} ({error}); write tcp://HOST:PORT or ipc://PATH.",
                endpoint=endpoint,
            ) from error
        return socket

    def _send(self, event: str, **fields: object) -> None:
        message = json.dumps({"what": self._what, "event": event, **fields})
        for publisher in self._publishers:
            try:
                publisher.send_string(message, zmq.NOBLOCK)
            except zmq.Again:
                self.dropped_count += 1
        self._sent_s = self._clock()


def _received(socket: zmq.Socket[bytes]) -> list[bytes]:
    messages = []
    while socket.poll(0):
        messages.append(socket.recv())
    return messages


def _command(message: bytes) -> Command | None:
    try:
        fields = json.loads(message)
        match fields["command"]:
            case "stop":
                return Stop()
            case "set_learning_rate":
                return SetLearningRate(float(fields["learning_rate"]))
            case "set_lr":  # SLEAP's own word
                return SetLearningRate(float(fields["lr"]))
            case _:
                LOGGER.warning("A command is not known: %r", message)
    except (ValueError, KeyError, TypeError, ShoalError) as error:
        LOGGER.warning("A command cannot be read (%r): %r", error, message)
    return None
