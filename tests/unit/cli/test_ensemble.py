"""Starting, watching and ending services; nothing outlives the command."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from shoal_cli.ensemble.home import Home
from shoal_cli.ensemble.launched import LaunchedEnsemble
from shoal_cli.ensemble.leftovers import remove_socket_folder
from shoal_cli.ensemble.lock import Holder, HomeLock, current_holder
from shoal_cli.ensemble.running import running_ensemble
from shoal_cli.ensemble.services import socket_folder, tcp_targets, unix_targets
from shoal_cli.ensemble.specification import Service, Specification, Supervision
from shoal_cli.ensemble.state import EnsembleState
from shoal_core.errors import FailedPrecondition, Unavailable

from .waiting import descendants, wait_until

FAKES = Path(__file__).resolve().parents[2] / "fakes"


@pytest.fixture(autouse=True)
def fakes_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(FAKES))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture
def folder() -> Path:
    return socket_folder({})


QUICK = Supervision(period_seconds=0.25, silence_seconds=1.0, death_limit=2)


def specification(home: Home, folder: Path, **behaviours: dict[str, object]) -> Specification:
    """Fakes named like the keyword arguments, which say how they behave."""
    targets = unix_targets(list(behaviours), folder)
    services = tuple(
        Service(
            name,
            "fake_service",
            targets[name],
            tuple(
                f"{key}={json.dumps(value)}"
                for key, value in {"listen": targets[name], **behaviour}.items()
            ),
        )
        for name, behaviour in behaviours.items()
    )
    return Specification("embedded", "shoal test", home.folder, folder, services, supervision=QUICK)


@pytest.fixture
def others() -> set[int]:
    """Processes that earlier tests keep for later ones."""
    return descendants(os.getpid())


def assert_nothing_left(processes: set[int], folder: Path) -> None:
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes))
    wait_until(lambda: not folder.exists())


def test_services_serve_and_end_with_the_command(
    home: Home, folder: Path, others: set[int]
) -> None:
    ensemble = LaunchedEnsemble(specification(home, folder, one={}, two={}))
    ensemble.wait_until_serving()
    processes = descendants(os.getpid()) - others
    assert len(processes) == 3
    assert folder.stat().st_mode & 0o777 == 0o700
    ensemble.stop()
    assert_nothing_left(processes, folder)
    assert current_holder(home.lock_file) is None


def test_a_service_that_dies_at_the_start_is_named_with_its_last_words(
    home: Home, folder: Path
) -> None:
    ensemble = LaunchedEnsemble(specification(home, folder, one={}, two={"refuses": True}))
    with pytest.raises(Unavailable, match=r"two service ended with status 2 .*does not want to"):
        ensemble.wait_until_serving()
    ensemble.stop()
    assert not folder.exists()


def test_a_supervisor_that_hangs_at_the_start_is_named(
    home: Home, folder: Path, others: set[int]
) -> None:
    ensemble = LaunchedEnsemble(specification(home, folder, one={}), start_seconds=0.01)
    (supervisor,) = descendants(os.getpid()) - others
    os.kill(supervisor, signal.SIGSTOP)
    with pytest.raises(Unavailable, match=r"supervisor has not started them in .*supervisor\.log"):
        ensemble.wait_until_serving()
    os.kill(supervisor, signal.SIGCONT)
    ensemble.stop()
    assert_nothing_left({supervisor}, folder)


def pid_of(target: str) -> int:
    """The process that listens at a Unix socket."""
    path = target.removeprefix("unix:")
    (pid,) = {
        child.pid
        for child in psutil.Process().children(recursive=True)
        if any(connection.laddr == path for connection in child.net_connections("unix"))
    }
    return pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
def test_a_service_that_ends_or_hangs_is_replaced_and_the_ensemble_serves(
    home: Home, folder: Path, others: set[int], number: signal.Signals
) -> None:
    ensemble = LaunchedEnsemble(specification(home, folder, one={}, two={}))
    ensemble.wait_until_serving()
    before = {name: pid_of(target) for name, target in ensemble.targets.items()}
    wait_until(lambda: "one (process" in home.log_file("supervisor").read_text())
    os.kill(before["one"], number)
    wait_until(lambda: not psutil.pid_exists(before["one"]))
    ensemble.wait_until_serving()
    assert pid_of(ensemble.targets["one"]) != before["one"]
    assert pid_of(ensemble.targets["two"]) == before["two"]
    processes = descendants(os.getpid()) - others
    ensemble.stop()
    assert_nothing_left(processes, folder)


def test_a_service_that_dies_again_and_again_is_given_up_and_named(
    home: Home, folder: Path, others: set[int]
) -> None:
    ensemble = LaunchedEnsemble(specification(home, folder, one={}, two={}))
    ensemble.wait_until_serving()
    processes = descendants(os.getpid()) - others

    def kill_again() -> None:
        ensemble.wait_until_serving()
        os.kill(pid_of(ensemble.targets["one"]), signal.SIGKILL)
        ensemble.wait(5.0)

    message = r"one service was killed by signal 9, after 2 restarts; see .*one\.log"
    with pytest.raises(Unavailable, match=message):
        wait_until(kill_again)
    with pytest.raises(Unavailable, match=message):
        ensemble.check()
    ensemble.stop()
    assert_nothing_left(processes, folder)


def test_a_service_that_ignores_the_end_is_killed(
    home: Home, folder: Path, others: set[int]
) -> None:
    stubborn = specification(home, folder, one={"ignores_lifeline": True})
    ensemble = LaunchedEnsemble(replace(stubborn, grace_seconds=0.5))
    ensemble.wait_until_serving()
    processes = descendants(os.getpid()) - others
    ensemble.stop()
    assert_nothing_left(processes, folder)
    assert "killed, as they did not stop in time: one" in home.log_file("supervisor").read_text()


def test_what_a_service_has_started_ends_with_it(home: Home, folder: Path, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    ensemble = LaunchedEnsemble(specification(home, folder, one={"grandchild": str(note)}))
    ensemble.wait_until_serving()
    ensemble.stop()
    assert_nothing_left({int(note.read_text())}, folder)


@pytest.fixture
def command(home: Home, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that starts an ensemble and waits, as `shoal track` does."""
    spec = specification(home, folder, one={"leaves_region": True}, two={})
    program = (
        "import sys; from shoal_cli.ensemble.launched import LaunchedEnsemble\n"
        "from shoal_cli.ensemble.specification import Specification\n"
        "ensemble = LaunchedEnsemble(Specification.from_json(sys.argv[1]))\n"
        "ensemble.wait_until_serving()\n"
        "print('serving', flush=True)\n"
        "try: sys.stdin.read()\n"
        "except KeyboardInterrupt: ensemble.stop()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, spec.to_json()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "serving\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_outlives_a_command_that_is_ended_by_a_signal(
    command: subprocess.Popen[str], home: Home, folder: Path, number: signal.Signals
) -> None:
    processes = descendants(command.pid)
    assert len(processes) == 3
    command.send_signal(number)
    command.wait()
    assert_nothing_left(processes, folder)
    wait_until(lambda: current_holder(home.lock_file) is None)


def test_shared_memory_of_a_killed_service_is_removed_with_the_ensemble(
    command: subprocess.Popen[str], folder: Path
) -> None:
    processes = descendants(command.pid)
    regions = [path for pid in processes for path in Path("/dev/shm").glob(f"shoal-{pid}-*")]
    assert len(regions) == 1
    command.kill()
    command.wait()
    assert_nothing_left(processes, folder)
    assert not regions[0].exists()


def machine(home: Home, folder: Path) -> Specification:
    """An ensemble as `shoal up` starts it."""
    return replace(specification(home, folder, one={}), mode="machine")


def test_an_ensemble_that_is_left_serves_until_it_is_told_to_stop(home: Home, folder: Path) -> None:
    ensemble = LaunchedEnsemble(machine(home, folder))
    ensemble.wait_until_serving()
    ensemble.leave()
    holder = current_holder(home.lock_file)
    assert holder is not None
    running = running_ensemble(home)
    assert running is not None
    (state,) = running.state.services
    os.kill(state.pid, signal.SIGKILL)
    wait_until(lambda: running_ensemble(home).state.services[0].restart_count == 1)
    running.wait_until_serving()
    processes = descendants(holder.pid)
    os.kill(holder.pid, signal.SIGTERM)
    os.waitpid(holder.pid, 0)
    assert_nothing_left(processes, folder)
    assert running_ensemble(home) is None
    with pytest.raises(Unavailable, match="ended by `shoal down`"):
        running.check()


def test_a_killed_supervisor_of_an_ensemble_that_was_left_is_named(
    home: Home, folder: Path
) -> None:
    ensemble = LaunchedEnsemble(machine(home, folder))
    ensemble.wait_until_serving()
    ensemble.leave()
    running = running_ensemble(home)
    assert running is not None
    os.kill(running.state.pid, signal.SIGKILL)
    os.waitpid(running.state.pid, 0)
    with pytest.raises(Unavailable, match="supervisor was killed and they went with it"):
        wait_until(lambda: running.wait(0.1))
    remove_socket_folder(folder)


def test_an_ensemble_that_was_not_left_ends_with_whoever_started_it(
    home: Home, folder: Path, others: set[int]
) -> None:
    ensemble = LaunchedEnsemble(machine(home, folder))
    ensemble.wait_until_serving()
    processes = descendants(os.getpid()) - others
    ensemble.stop()
    assert_nothing_left(processes, folder)


def test_a_command_whose_supervisor_is_killed_leaves_no_sockets(home: Home, folder: Path) -> None:
    ensemble = LaunchedEnsemble(specification(home, folder, one={}))
    ensemble.wait_until_serving()
    holder = current_holder(home.lock_file)
    assert holder is not None
    os.kill(holder.pid, signal.SIGKILL)
    with pytest.raises(Unavailable, match="supervisor was killed"):
        ensemble.wait(30.0)
    ensemble.stop()
    assert not folder.exists()


def test_a_home_that_is_a_file_holds_no_ensemble_and_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path / "file")
    home.folder.touch()
    assert current_holder(home.lock_file) is None
    assert EnsembleState.read(home.state_file) is None
    with pytest.raises(FailedPrecondition, match="set SHOAL_HOME to another folder"):
        home.create()


def test_a_killed_supervisor_takes_its_services_along_and_the_next_one_cleans_up(
    command: subprocess.Popen[str], home: Home, folder: Path
) -> None:
    processes = descendants(command.pid)
    holder = current_holder(home.lock_file)
    assert holder is not None
    os.kill(holder.pid, signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes - {holder.pid}))
    assert folder.exists()
    following = socket_folder({})
    ensemble = LaunchedEnsemble(specification(home, following, one={}))
    ensemble.wait_until_serving()
    assert not folder.exists()
    ensemble.stop()


def test_a_second_ensemble_on_the_same_home_is_refused_and_names_the_first(
    command: subprocess.Popen[str], home: Home
) -> None:
    holder = current_holder(home.lock_file)
    assert holder is not None
    second = LaunchedEnsemble(specification(home, socket_folder({}), one={}))
    with pytest.raises(FailedPrecondition) as caught:
        second.wait_until_serving()
    second.stop()
    assert caught.value.reason == "HOME_LOCKED"
    assert "`shoal test`" in caught.value.message
    assert str(holder.pid) in caught.value.message


def test_a_home_under_another_name_is_the_same_home(
    command: subprocess.Popen[str], home: Home, tmp_path: Path
) -> None:
    other_name = Home(tmp_path / "other-name")
    other_name.folder.symlink_to(home.folder)
    second = LaunchedEnsemble(specification(other_name, socket_folder({}), one={}))
    with pytest.raises(FailedPrecondition, match="is in use by"):
        second.wait_until_serving()
    second.stop()


def test_a_service_without_its_supervisor_keeps_others_out(home: Home) -> None:
    holder = Holder(2**22 - 1, "machine", "shoal up", 2**22 - 1, None)
    lock = HomeLock.acquire(home.lock_file, holder, lambda: False)
    orphan = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        pass_fds=[lock.descriptor],
    )
    lock.release()
    with pytest.raises(FailedPrecondition, match="is in use by"):
        HomeLock.acquire(home.lock_file, holder, lambda: False)
    orphan.communicate()
    HomeLock.acquire(home.lock_file, holder, lambda: False).release()


def test_an_ensemble_waits_for_one_that_is_on_its_way_out(
    command: subprocess.Popen[str], home: Home, folder: Path
) -> None:
    command.kill()
    command.wait()
    following = LaunchedEnsemble(specification(home, socket_folder({}), one={}))
    following.wait_until_serving()
    following.stop()


def test_socket_paths_that_the_system_cannot_hold_are_refused() -> None:
    with pytest.raises(FailedPrecondition) as caught:
        unix_targets(["orchestrator"], Path("/" + "x" * 100))
    assert caught.value.reason == "SOCKET_PATH_TOO_LONG"


def test_a_long_runtime_folder_is_not_used(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 80)
    long.mkdir()
    assert socket_folder({"XDG_RUNTIME_DIR": str(long)}).parent == Path("/tmp")


def test_ports_are_those_of_the_design() -> None:
    assert tcp_targets() == {
        "decode": "127.0.0.1:7101",
        "serving": "127.0.0.1:7102",
        "tracking": "127.0.0.1:7103",
        "labels": "127.0.0.1:7104",
        "orchestrator": "127.0.0.1:7105",
        "worker": "127.0.0.1:7106",
        "engine": "127.0.0.1:8001",
    }
