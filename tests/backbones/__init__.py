"""Every encoder that is offered, in an environment with timm: `make check-backbones`."""
