"""The worker's ends of a trainer's monitor: sockets of ZeroMQ in a private folder."""

import json
from pathlib import Path
from typing import Self

import zmq
import zmq.asyncio

from shoal_core.errors import FailedPrecondition

_QUEUE_MESSAGES = 10_000
_LAST_MESSAGE_MS = 200
_MAX_PATH_BYTES = 100
"""What the address of a Unix socket can hold, less a margin."""


class Monitor:
    """Hears one trainer and tells it what is wanted."""

    def __init__(self, folder: Path) -> None:
        """Listens.

        Raises:
            FailedPrecondition: FOLDER_TOO_LONG when the folder's path cannot hold sockets.
        """
        if len(bytes(folder)) > _MAX_PATH_BYTES:
            raise FailedPrecondition(
                "FOLDER_TOO_LONG",
                f"{folder} is too long a path for sockets; set a shorter runs_folder.",
                folder=folder,
            )
        self.publish_endpoint = f"ipc://{folder}/m"
        self.control_endpoint = f"ipc://{folder}/c"
        self._context = zmq.asyncio.Context()
        self._messages = self._context.socket(zmq.SUB)
        self._messages.setsockopt(zmq.RCVHWM, _QUEUE_MESSAGES)
        self._messages.setsockopt(zmq.SUBSCRIBE, b"")
        self._messages.bind(self.publish_endpoint)
        # What is sent before the trainer has subscribed would be lost; XPUB hears of it.
        self._commands = self._context.socket(zmq.XPUB)
        self._commands.bind(self.control_endpoint)

    async def receive(self) -> bytes:
        """Returns the trainer's next message."""
        return bytes(await self._messages.recv())

    async def has_message(self) -> bool:
        """Whether a message is there, or comes at once: what a trainer that has ended has sent."""
        return bool(await self._messages.poll(_LAST_MESSAGE_MS))

    async def until_subscribed(self) -> None:
        """Returns once the trainer listens."""
        await self._commands.recv()

    async def stop(self) -> None:
        """Asks the trainer to finish cleanly; it may be asked again."""
        await self._send({"command": "stop"})

    async def set_learning_rate(self, learning_rate: float) -> None:
        """Tells the trainer the rate to go on with."""
        await self._send({"command": "set_learning_rate", "learning_rate": learning_rate})

    def close(self) -> None:
        """Stops listening."""
        self._context.destroy(linger=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def _send(self, command: dict[str, object]) -> None:
        await self._commands.send_string(json.dumps(command))
