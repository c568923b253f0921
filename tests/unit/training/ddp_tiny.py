"""What `torchrun` starts twice in `test_distributed`: two processes train one tiny network."""

import json
import sys
from pathlib import Path

from shoal_training.distributed import joined
from tests.unit.training.tiny import Recorder, tiny_config, train_tiny

folder = Path(sys.argv[1])
with joined() as processes:
    recorder = Recorder()
    result = train_tiny(tiny_config(epochs=2), folder, recorder, processes=processes)
    losses = [report.validation.total for report in recorder.epochs if report.validation]
    (folder / f"rank{processes.rank}.json").write_text(
        json.dumps({"best": result.best_loss, "validations": losses, "steps": result.steps})
    )
