"""`shoal demo`: everything from a recording to tracked poses, without any data."""
