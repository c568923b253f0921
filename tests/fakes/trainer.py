"""A training program that learns to count: real messages, files and faults, no network.

Usage: python trainer.py CONFIGURATION -o RUN_FOLDER --resume

`fake` in the configuration says what happens: `epochs` to train, `hold_at` an epoch to wait for
commands in, `die_at`, `stall_at` or `refuse_at` an epoch to do that in unless a checkpoint was
found, `always` to do it also then.
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

import zmq

BEAT_MS = 20


class Talk:
    """Its end of the monitor."""

    def __init__(self, monitor: dict[str, list[str]]) -> None:
        self._context = zmq.Context()
        self._out = self._context.socket(zmq.XPUB)
        for endpoint in monitor["publish"]:
            self._out.connect(endpoint)
        self._in = self._context.socket(zmq.SUB)
        self._in.setsockopt(zmq.SUBSCRIBE, b"")
        for endpoint in monitor["control"]:
            self._in.connect(endpoint)
        self._out.poll(5000)  # the worker's subscription

    def say(self, event: str, **fields: object) -> None:
        self._out.send_string(json.dumps({"what": "fake", "event": event, **fields}))

    def command(self, wait_ms: int) -> dict[str, object]:
        return self._in.recv_json() if self._in.poll(wait_ms) else {}

    def close(self) -> None:
        self._context.destroy(linger=2000)


def write(path: Path, text: str) -> None:
    """Writes beside and renames, as the real one does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text)
    beside.replace(path)


def hold(talk: Talk, epoch: int, state: dict[str, float]) -> bool:
    """Waits for commands; returns whether one was to stop."""
    while True:
        command = talk.command(BEAT_MS)
        match command.get("command"):
            case "stop":
                return True
            case "set_learning_rate":
                state["lr"] = float(str(command["learning_rate"]))
        logs = {"loss": 1.0, "lr": state["lr"], "step": epoch * 10}
        talk.say("batch_end", epoch=epoch, batch=0, logs=logs)


def fault(fake: dict[str, object], epoch: int, talk: Talk, *, resumed: bool) -> None:
    if resumed and not fake.get("always"):
        return
    if fake.get("die_at") == epoch:
        talk.close()  # what was said is heard, so that tests know how far it came
        os.kill(os.getpid(), signal.SIGKILL)
    if fake.get("stall_at") == epoch:
        time.sleep(600)
    if fake.get("refuse_at") == epoch:
        sys.stderr.write("The loss is no number any more; lower the learning rate.\n")
        sys.exit(2)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("configuration", type=Path)
    parser.add_argument("-o", dest="run_folder", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    config = json.loads(arguments.configuration.read_text())
    fake, run = config["fake"], arguments.run_folder
    labels = [Path(path).read_bytes() for path in config["data"]["labels"]]
    talk = Talk(config["monitor"])
    checkpoint = run / "checkpoints" / "last.pt"
    resumed = arguments.resume and checkpoint.exists()
    state = {"epoch": 0.0, "weight": 0.0, "lr": 1e-3}
    if resumed:
        begun_with = json.loads((run / "config.json").read_text())
        if begun_with["data"] != config["data"]:
            sys.stderr.write("The run was begun with other data.\n")
            sys.exit(2)
        state |= json.loads(checkpoint.read_text())
    sys.stdout.write(f"training on {len(labels)} files of labels\n")
    write(run / "config.json", json.dumps(config))
    write(run / "pid", str(os.getpid()))
    talk.say("train_begin", logs=None)
    for epoch in range(int(state["epoch"]), fake["epochs"]):
        talk.say("epoch_begin", epoch=epoch, logs=None)
        fault(fake, epoch, talk, resumed=resumed)
        stopped = fake.get("hold_at") == epoch and hold(talk, epoch, state)
        state |= {"epoch": epoch + 1, "weight": state["weight"] + 1 / (epoch + 1)}
        logs = {"loss": 1 / (epoch + 1), "val_loss": 2 / (epoch + 1), "lr": state["lr"]}
        write(checkpoint, json.dumps(state))
        talk.say("epoch_end", epoch=epoch, logs=logs | {"step": epoch * 10, "head": 0.5})
        if stopped:
            break
    write(run / "images" / "last" / "validation 0.png", "a picture")
    write(run / "metrics.json", json.dumps({"oks": {"mAP": state["weight"]}, "note": "fake"}))
    write(run / "model" / "shoal_model.json", json.dumps(state))
    talk.say("train_end", logs=None)
    talk.close()


if __name__ == "__main__":
    main()
