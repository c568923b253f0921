"""Ledgers as older versions of Shoal left them, with one job and its pending task."""

import sqlite3
from pathlib import Path

_VERSION_2 = """
CREATE TABLE schema_version (version INTEGER NOT NULL, PRIMARY KEY (version));
CREATE TABLE jobs (
  sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, name VARCHAR(255) NOT NULL,
  project VARCHAR(63) NOT NULL, state VARCHAR(16) NOT NULL, spec BLOB NOT NULL,
  total_frame_count BIGINT NOT NULL, result_label_set VARCHAR(255) NOT NULL, error_json TEXT,
  create_time_us BIGINT NOT NULL, end_time_us BIGINT, first_frame_time_us BIGINT, UNIQUE (name)
);
CREATE INDEX jobs_by_state ON jobs (state, sequence);
CREATE INDEX jobs_by_project ON jobs (project, sequence);
CREATE TABLE tasks (
  job_sequence INTEGER NOT NULL, task_index INTEGER NOT NULL, kind VARCHAR(32) NOT NULL,
  stage INTEGER NOT NULL, start_frame BIGINT NOT NULL, stop_frame BIGINT NOT NULL,
  source_label_set VARCHAR(255), result_label_set VARCHAR(255) NOT NULL,
  state VARCHAR(16) NOT NULL, attempt_count INTEGER NOT NULL, fencing_token BIGINT NOT NULL,
  done_frame_count BIGINT NOT NULL, instance_count BIGINT NOT NULL,
  overflow_frame_count BIGINT DEFAULT '0' NOT NULL, worker_id TEXT,
  PRIMARY KEY (job_sequence, task_index), FOREIGN KEY(job_sequence) REFERENCES jobs (sequence)
);
CREATE INDEX tasks_by_state ON tasks (state, job_sequence, task_index);
INSERT INTO schema_version VALUES (2);
INSERT INTO jobs VALUES
  (1, 'projects/lab/jobs/kept', 'lab', 'pending', 'spec', 10, 'projects/lab/labelSets/kept',
   NULL, 1700000000000000, NULL, NULL);
INSERT INTO tasks VALUES
  (1, 0, 'infer_segment', 0, 0, 10, NULL, 'projects/lab/labelSets/kept', 'pending', 0, 0, 0, 0, 0,
   NULL);
"""


def write_old_ledger(path: Path, version: int) -> None:
    """Writes a ledger of version 1 or 2."""
    connection = sqlite3.connect(path)
    connection.executescript(_VERSION_2)
    if version == 1:
        connection.execute("ALTER TABLE tasks DROP COLUMN overflow_frame_count")
        connection.execute("UPDATE schema_version SET version = 1")
    connection.commit()
    connection.close()
