"""Everything gRPC that is not one service's own: server builder, channels, config, shared memory, inference client."""
