"""Names, pages and roots refuse what they do not know."""

from pathlib import Path

import pytest

from shoal_common import names, paging
from shoal_common.roots import AllowedRoots
from shoal_core.errors import InvalidArgument, PermissionDenied


def test_ids_are_read_out_of_a_name() -> None:
    ids = names.parse("projects/{project}/jobs/{job}", "projects/default/jobs/3f2a")
    assert ids == {"project": "default", "job": "3f2a"}


@pytest.mark.parametrize(
    "name",
    ["", "projects/default", "projects/default/job/1", "projects//jobs/1", "projects/../jobs/1"],
)
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="form"):
        names.parse("projects/{project}/jobs/{job}", name)


def test_a_token_leads_back_to_its_key() -> None:
    assert paging.decode_token(paging.encode_token("projects/a/jobs/ü")) == "projects/a/jobs/ü"
    assert paging.decode_token("") == ""


@pytest.mark.parametrize("token", ["ä", "a", "/w=="])
def test_a_foreign_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument):
        paging.decode_token(token)


def test_page_sizes_are_bounded() -> None:
    assert paging.page_size(0, default=10, limit=20) == 10
    assert paging.page_size(100, default=10, limit=20) == 20
    with pytest.raises(InvalidArgument):
        paging.page_size(-1, default=10, limit=20)


def test_a_path_inside_a_root_is_resolved(tmp_path: Path) -> None:
    roots = AllowedRoots((str(tmp_path),))
    assert roots.resolve(f"file://{tmp_path}/a%20b.mp4") == tmp_path / "a b.mp4"
    assert roots.resolve(str(tmp_path / "x" / ".." / "c.mp4")) == tmp_path / "c.mp4"


def test_a_dataset_stays_behind_its_resolved_file(tmp_path: Path) -> None:
    roots = AllowedRoots((str(tmp_path),))
    (tmp_path / "link.h5").symlink_to(tmp_path / "a.h5")
    for uri in (f"file://{tmp_path}/link.h5#x/y", f"{tmp_path}/link.h5#x/y"):
        assert roots.resolve(uri) == tmp_path / "a.h5#x/y"
    (tmp_path / "out.h5").symlink_to("/etc/out.h5")
    with pytest.raises(PermissionDenied):
        roots.resolve(f"{tmp_path}/out.h5#x")


def test_no_link_leads_out_of_a_root(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    with pytest.raises(PermissionDenied, match="allowed_roots"):
        AllowedRoots((str(inside),)).resolve(str(inside / "link" / "a.mp4"))


@pytest.mark.parametrize("uri", ["", "a.mp4", "http://host/a.mp4", "file://host/a.mp4"])
def test_what_is_no_local_path_is_refused(uri: str) -> None:
    with pytest.raises(InvalidArgument):
        AllowedRoots(("/",)).resolve(uri)


@pytest.mark.parametrize("number", [0, 7, 10**17])
def test_a_number_token_gives_back_its_number(number: int) -> None:
    assert paging.decode_number_token(paging.encode_token(str(number))) == number


def test_the_first_page_has_no_number() -> None:
    assert paging.decode_number_token("") is None


@pytest.mark.parametrize("text", ["-1", "1.5", "one", "٣", "9" * 30])
def test_a_token_of_another_list_is_no_number(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        paging.decode_number_token(paging.encode_token(text))
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


def test_what_cannot_name_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    for uri in (str(tmp_path / "circle"), f"{tmp_path}/a\0b", "//[a", f"file://{tmp_path}/%00"):
        with pytest.raises(InvalidArgument) as caught:
            AllowedRoots((str(tmp_path),)).resolve(uri)
        assert caught.value.reason == "URI_INVALID"
