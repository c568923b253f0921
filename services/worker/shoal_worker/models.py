"""The deployment that the worker uses now."""

import grpc

from shoal_common.inference.deployment import Deployment

_PATIENCE_SECONDS = 300.0
"""Time that an engine has to come back with the model; nobody waits who could not wait longer."""


class Models:
    """Watches the model of the last task, since the next task most likely has the same.

    No other: watching says that a model is needed.
    """

    def __init__(self, serving: grpc.aio.Channel) -> None:
        self._serving = serving
        self._name = ""
        self._deployment: Deployment | None = None

    async def deployment(self, model_version: str) -> Deployment:
        """Returns the deployment of `models/{model}/versions/{version}`."""
        if self._deployment is None or self._name != model_version:
            await self.aclose()
            self._deployment = Deployment(
                self._serving, model_version, patience_seconds=_PATIENCE_SECONDS
            )
            self._name = model_version
        return self._deployment

    async def aclose(self) -> None:
        """Ends the watch."""
        if self._deployment is not None:
            await self._deployment.aclose()
            self._deployment = None
