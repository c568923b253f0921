"""What SLEAP's viewer gets and sends, over real sockets."""

import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from shoal_core.errors import InvalidArgument
from shoal_training.commands import SetLearningRate, Stop
from shoal_training.config import MonitorConfig
from shoal_training.monitor import HEARTBEAT_S, Monitor
from shoal_training.reports import BatchReport
from tests.unit.training.tiny import tiny_config, train_tiny

WAIT_S = 10


class Viewer:
    """As SLEAP's loss viewer: both sockets bind, the trainer connects; a thread reads."""

    def __init__(self, subscriber_url: str, publisher_url: str) -> None:
        self._context = zmq.Context()
        self._subscriber = self._context.socket(zmq.SUB)
        self._subscriber.setsockopt(zmq.SUBSCRIBE, b"")
        self._subscriber.setsockopt(zmq.RCVHWM, 10)
        self._subscriber.bind(subscriber_url)
        self.publisher = self._context.socket(zmq.PUB)
        self.publisher.bind(publisher_url)
        self.config = MonitorConfig(
            publish=(self._subscriber.getsockopt_string(zmq.LAST_ENDPOINT),),
            control=(self.publisher.getsockopt_string(zmq.LAST_ENDPOINT),),
        )
        self.reads = True
        self._messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while not self._closed.is_set():
            # A subscription leaves when its socket is next used, read from or not.
            if self._subscriber.poll(5) and self.reads:
                self._messages.put(json.loads(self._subscriber.recv()))

    def receive_until(self, event: str) -> list[dict[str, Any]]:
        messages = [self._messages.get(timeout=WAIT_S)]
        while messages[-1]["event"] != event:
            messages.append(self._messages.get(timeout=WAIT_S))
        return messages

    def send(self, monitor: Monitor, text: str) -> list[object]:
        """Sends until it arrives, since the connection may not be there yet."""
        for _ in range(200):
            self.publisher.send_string(text)
            monitor._controls[0].poll(50)
            if commands := list(monitor.commands()):
                return commands
        raise AssertionError("no command arrived")

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        self._context.destroy(linger=0)


@pytest.fixture(params=["tcp", "ipc"])
def viewer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Viewer]:
    if request.param == "tcp":
        shown = Viewer("tcp://127.0.0.1:*", "tcp://127.0.0.1:*")
    else:
        shown = Viewer(f"ipc://{tmp_path / 'p'}", f"ipc://{tmp_path / 'c'}")
    yield shown
    shown.close()


def _batch(step: int) -> BatchReport:
    return BatchReport(
        epoch=0,
        batch=step,
        batches=9,
        epochs=1,
        step=step,
        loss=1.0,
        learning_rate=1e-4,
        samples_per_s=1.0,
        remaining_s=None,
    )


def test_a_viewer_gets_every_message_of_a_run_as_sleap_shapes_them(
    viewer: Viewer, tmp_path: Path
) -> None:
    monitor = Monitor(viewer.config, "centroid")
    monitor.greet()
    train_tiny(tiny_config(epochs=2, min_batches_per_epoch=2), tmp_path, monitor)
    messages = viewer.receive_until("train_end")
    monitor.close()
    assert {message["what"] for message in messages} == {"centroid"}
    told = [message["event"] for message in messages if message["event"] != "heartbeat"]
    epoch = ["epoch_begin", "batch_end", "batch_end", "epoch_end"]
    assert told == ["train_begin", *epoch, *epoch, "train_end"]
    batches = [message for message in messages if message["event"] == "batch_end"]
    assert [(message["epoch"], message["batch"]) for message in batches] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    ]
    assert all(message["logs"]["loss"] > 0 for message in batches)
    ends = [message for message in messages if message["event"] == "epoch_end"]
    assert [message["epoch"] for message in ends] == [0, 1]
    assert all({"loss", "val_loss", "lr", "seconds"} <= set(end["logs"]) for end in ends)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('{"command": "stop"}', Stop()),
        ('{"command": "set_learning_rate", "learning_rate": 0.5}', SetLearningRate(0.5)),
        ('{"command": "set_lr", "lr": 0.25}', SetLearningRate(0.25)),
    ],
)
def test_commands_of_a_viewer_arrive(viewer: Viewer, text: str, command: object) -> None:
    monitor = Monitor(viewer.config, "centroid")
    assert viewer.send(monitor, text)[0] == command
    monitor.close()


def test_what_is_no_command_is_passed_over(
    viewer: Viewer, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = Monitor(viewer.config, "centroid")
    viewer.send(monitor, '{"command": "stop"}')  # the connection is there
    for wrong in ("nonsense", "[]", '{"command": "fly"}', '{"command": "set_lr", "lr": -1}'):
        viewer.publisher.send_string(wrong)
    viewer.publisher.send_string('{"command": "set_lr", "lr": 2}')
    arrived: list[object] = []
    while SetLearningRate(2.0) not in arrived:
        assert monitor._controls[0].poll(1000 * WAIT_S)
        arrived += monitor.commands()
    monitor.close()
    assert set(arrived) <= {Stop(), SetLearningRate(2.0)}
    assert len(caplog.records) == 4


def test_where_nobody_listens_messages_go_nowhere_and_training_goes_on() -> None:
    monitor = Monitor(MonitorConfig(publish=("tcp://127.0.0.1:1",)), "centroid")
    for step in range(5000):  # more than a queue holds
        monitor.batch_end(_batch(step))
    assert monitor.dropped_count == 0  # nobody missed them
    monitor.close()


def test_a_viewer_that_reads_nothing_costs_messages_not_time(viewer: Viewer) -> None:
    viewer.reads = False
    monitor = Monitor(viewer.config, "centroid")
    monitor.greet()
    for step in range(200_000):
        monitor.batch_end(_batch(step))
        if monitor.dropped_count:
            break
    assert monitor.dropped_count == 1
    monitor.close()


def test_a_heartbeat_comes_where_nothing_else_was_sent_for_a_while(viewer: Viewer) -> None:
    now = [0.0]
    monitor = Monitor(viewer.config, "centroid", clock=lambda: now[0])
    monitor.greet()
    monitor.train_begin()
    for _ in range(100):
        now[0] += HEARTBEAT_S / 10
        monitor.beat()
    monitor.train_end()
    events = [message["event"] for message in viewer.receive_until("train_end")]
    monitor.close()
    assert events[0] == "train_begin"
    assert 9 <= events.count("heartbeat") <= 10


def test_an_endpoint_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(InvalidArgument, match="localhost:9001"):
        Monitor(MonitorConfig(publish=("localhost:9001",)), "centroid")
