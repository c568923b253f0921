"""Deployments that the worker has looked up, one per model version."""

import grpc

from shoal_common.inference.deployment import Deployment


class Models:
    """Keeps every deployment watched until the worker ends."""

    def __init__(self, serving: grpc.aio.Channel) -> None:
        self._serving = serving
        self._deployments: dict[str, Deployment] = {}

    def deployment(self, model_version: str) -> Deployment:
        """Returns the deployment of `models/{model}/versions/{version}`."""
        if model_version not in self._deployments:
            self._deployments[model_version] = Deployment(self._serving, model_version)
        return self._deployments[model_version]

    async def aclose(self) -> None:
        """Ends all watches."""
        for deployment in self._deployments.values():
            await deployment.aclose()
