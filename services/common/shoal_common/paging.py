"""Pages of lists, and the opaque tokens between them."""

import base64
import binascii

from shoal_core.errors import InvalidArgument

_MOST_DIGITS = 18
"""A number of more digits may not fit into a database's column."""


def page_size(requested: int, *, default: int, limit: int) -> int:
    """Returns the size of a page: the default for 0, never more than the limit.

    Raises:
        InvalidArgument: PAGE_SIZE_INVALID when it is negative.
    """
    if requested < 0:
        raise InvalidArgument(
            "PAGE_SIZE_INVALID",
            f"page_size is {requested}; give 0 for the default or a positive number.",
            page_size=requested,
        )
    return min(requested or default, limit)


def encode_token(last_key: str) -> str:
    """Returns the token of the page that follows `last_key`."""
    return base64.urlsafe_b64encode(last_key.encode()).decode()


def decode_token(token: str) -> str:
    """Returns the key that a page must follow; empty for the first page.

    Raises:
        InvalidArgument: PAGE_TOKEN_INVALID when no list of ours made the token.
    """
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _invalid_token() from error


def decode_number_token(token: str) -> int | None:
    """Returns the number that a page must follow, from 0; None for the first page.

    Raises:
        InvalidArgument: PAGE_TOKEN_INVALID when no list of ours made the token.
    """
    text = decode_token(token)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise _invalid_token()
    return int(text)


def _invalid_token() -> InvalidArgument:
    return InvalidArgument(
        "PAGE_TOKEN_INVALID", "page_token was not made by this list; start from the first page."
    )
