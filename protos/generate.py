"""Generates the Python stubs beside the protos and the imported protos that buf needs."""

import shutil
import sys
from pathlib import Path

from google.rpc import status_pb2
from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
GOOGLE_RPC = Path(status_pb2.__file__).parent


def main() -> int:
    """Returns protoc's exit status."""
    third_party = PROTOS / "third_party" / "google" / "rpc"
    third_party.mkdir(parents=True, exist_ok=True)
    shutil.copy(GOOGLE_RPC / "status.proto", third_party)
    well_known = Path(protoc.__file__).parent / "_proto"
    scripts = Path(sys.executable).parent
    return int(
        protoc.main(
            [
                "protoc",
                f"-I{PROTOS}",
                f"-I{PROTOS / 'third_party'}",
                f"-I{well_known}",
                f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
                f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
                f"--python_out={PROTOS}",
                f"--grpc_python_out={PROTOS}",
                f"--mypy_out=quiet:{PROTOS}",
                f"--mypy_grpc_out=quiet:{PROTOS}",
                *(str(path) for path in sorted((PROTOS / "shoal").rglob("*.proto"))),
            ]
        )
    )


if __name__ == "__main__":
    sys.exit(main())
