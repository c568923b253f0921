"""Everything gRPC that is not one service's own."""
