"""Hand-written stand-ins for peers, served over real sockets."""
