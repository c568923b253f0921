import os
import sys
from pathlib import Path

import pytest

from shoal_core.errors import FailedPrecondition, InvalidArgument
from shoal_triton.__main__ import server_command
from shoal_triton.config import TritonConfig
from shoal_triton.installation import Installation


def config(**changes: object) -> TritonConfig:
    fields: dict[str, object] = {
        "listen": "127.0.0.1:8001",
        "model_repository": Path("/models"),
        "environment": Path("/env"),
        **changes,
    }
    return TritonConfig(**fields)  # type: ignore[arg-type]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """An environment as the wheel leaves it, without the programs."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    packages = tmp_path / "lib" / f"python{version}" / "site-packages"
    server = packages / "pytriton" / "tritonserver"
    files = (
        server / "bin" / "tritonserver",
        server / "backends" / "python" / "libtriton_python.so",
        server / "python_backend_stubs" / version / "triton_python_backend_stub",
        server / "python_backend_stubs" / "3.8" / "triton_python_backend_stub",
    )
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text(str(file))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix) / 'bin'}\n")
    return tmp_path


@pytest.mark.parametrize("listen", ["unix:/run/engine.sock", "8001", "127.0.0.1", "host:port"])
def test_only_host_and_port_will_do(listen: str) -> None:
    with pytest.raises(InvalidArgument, match=r"set listen to 127\.0\.0\.1:8001"):
        config(listen=listen)


def test_an_environment_without_triton_names_the_cure(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="make setup-triton") as caught:
        Installation.find(tmp_path / "nowhere")
    assert caught.value.reason == "TRITON_NOT_INSTALLED"


def test_an_environment_whose_wheel_is_gone_names_the_cure(installed: Path) -> None:
    Installation.find(installed).program.unlink()
    with pytest.raises(FailedPrecondition, match="make setup-triton"):
        Installation.find(installed)


def test_the_backend_gets_the_stub_of_this_python(installed: Path, tmp_path: Path) -> None:
    installation = Installation.find(installed)
    backends = installation.make_backends(tmp_path / "backends")
    stub = (backends / "python" / "triton_python_backend_stub").read_text()
    assert f"/{installation.python_version}/" in stub
    assert (backends / "python" / "libtriton_python.so").is_file()


def test_the_server_listens_where_it_is_told_and_nowhere_else(installed: Path) -> None:
    command = server_command(Installation.find(installed), config(), Path("/backends"))
    assert {"--grpc-address=127.0.0.1", "--grpc-port=8001"} <= set(command)
    assert {"--allow-http=false", "--allow-metrics=false"} <= set(command)


def test_libraries_of_the_wheel_come_first(installed: Path) -> None:
    variables = Installation.find(installed).process_environment({"PATH": "/bin", "A": "b"})
    assert variables["LD_LIBRARY_PATH"].split(os.pathsep)[0].endswith("external_libs")
    assert variables["PATH"].startswith(f"{installed}/bin")
    assert variables["A"] == "b"
