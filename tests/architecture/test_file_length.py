"""Long files are where understanding ends (STYLE, rule 20)."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_no_source_file_is_longer_than_400_lines() -> None:
    sources = [
        path
        for folder in ("services", "clients", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if not path.name.endswith(("_pb2.py", "_pb2_grpc.py"))
    ]
    assert sources
    too_long = {
        str(path.relative_to(ROOT)): count
        for path in sources
        if (count := path.read_text().count("\n")) > 400
    }
    assert not too_long
