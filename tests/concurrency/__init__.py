"""Many live sessions and jobs at once, over real processes: `python -m tests.concurrency`."""
