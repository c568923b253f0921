"""Training tasks: a child process that trains, and everything that goes between it and a job."""
