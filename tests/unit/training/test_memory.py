from pathlib import Path

from shoal_training.memory import available_memory_bytes


def test_a_container_may_take_less_than_the_machine_has(tmp_path: Path) -> None:
    machine = tmp_path / "meminfo"
    machine.write_text("MemTotal:  4000 kB\nMemAvailable:  2000 kB\n")
    assert available_memory_bytes(machine, tmp_path) == 2000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 600000\nfile 300000\n")
    assert available_memory_bytes(machine, tmp_path) == 2000 * 1024
    (tmp_path / "memory.max").write_text("1000000\n")
    assert available_memory_bytes(machine, tmp_path) == 400_000


def test_nothing_is_known_where_nothing_says_it(tmp_path: Path) -> None:
    assert available_memory_bytes(tmp_path / "none", tmp_path) is None
