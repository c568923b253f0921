"""Which files a service may touch on behalf of a caller."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from shoal_core.errors import InvalidArgument, PermissionDenied


class AllowedRoots:
    """The folders, with everything below them, that callers may name files in."""

    def __init__(self, roots: tuple[str, ...]) -> None:
        self._roots = tuple(Path(root).resolve() for root in roots)

    def resolve(self, uri: str) -> Path:
        """Returns the absolute path behind a path or file:// URI, links followed.

        Raises:
            InvalidArgument: URI_INVALID when it is neither.
            PermissionDenied: PATH_OUTSIDE_ROOTS when it leads out of the roots.
        """
        path = _local_path(uri).resolve()
        if not any(path.is_relative_to(root) for root in self._roots):
            allowed = ", ".join(map(str, self._roots)) or "none"
            raise PermissionDenied(
                "PATH_OUTSIDE_ROOTS",
                f"{path} lies outside the allowed folders ({allowed}); "
                "move it there or add its folder to allowed_roots.",
                path=path,
            )
        return path


def _local_path(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    if "://" in uri or not uri:
        raise InvalidArgument(
            "URI_INVALID", f"{uri!r} is neither a path nor a file:// URI.", uri=uri
        )
    path = Path(uri)
    if not path.is_absolute():
        raise InvalidArgument("URI_INVALID", f"{uri!r} is not an absolute path.", uri=uri)
    return path
