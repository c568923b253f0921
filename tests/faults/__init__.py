"""Random single faults in a whole ensemble: every job ends, with the undisturbed result."""
