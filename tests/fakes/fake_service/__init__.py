"""A service without work, for tests of what starts and ends services."""
