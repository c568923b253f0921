"""Which files a service may touch on behalf of a caller."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from shoal_core.errors import InvalidArgument, PermissionDenied
from shoal_core.video_path import split_dataset


class AllowedRoots:
    """The folders, with everything below them, that callers may name files in."""

    def __init__(self, roots: tuple[str, ...]) -> None:
        self._roots = tuple(Path(root).resolve() for root in roots)

    def resolve(self, uri: str) -> Path:
        """Returns the absolute path behind a path or file:// URI, links followed.

        The dataset of `file.h5#dataset/path` stays; what counts is where its file lies.

        Raises:
            InvalidArgument: URI_INVALID when it is neither, or leads in a circle.
            PermissionDenied: PATH_OUTSIDE_ROOTS when it leads out of the roots.
        """
        try:
            file, dataset = split_dataset(str(_local_path(uri)))
            path = Path(file).resolve()
        except (RuntimeError, ValueError) as error:  # a circle of links; a zero byte, a stray "["
            raise _invalid(uri, "cannot name a file") from error
        if not any(path.is_relative_to(root) for root in self._roots):
            allowed = ", ".join(map(str, self._roots)) or "none"
            raise PermissionDenied(
                "PATH_OUTSIDE_ROOTS",
                f"{path} lies outside the allowed folders ({allowed}); "
                "move it there or add its folder to allowed_roots.",
                path=path,
            )
        return path if dataset is None else Path(f"{path}#{dataset}")


def _local_path(uri: str) -> Path:
    parts = urlsplit(uri, allow_fragments=False)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    if "://" in uri or not uri:
        raise _invalid(uri, "is neither a path nor a file:// URI")
    path = Path(uri)
    if not path.is_absolute():
        raise _invalid(uri, "is not an absolute path")
    return path


def _invalid(uri: str, complaint: str) -> InvalidArgument:
    return InvalidArgument("URI_INVALID", f"{uri!r} {complaint}; give an absolute path.", uri=uri)
