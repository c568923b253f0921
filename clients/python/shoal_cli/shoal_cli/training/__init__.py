"""`shoal train`: what a command means, its job, and what people see of it."""
