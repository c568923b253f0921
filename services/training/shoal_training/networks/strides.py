"""Strides of a network: powers of two that follow one another."""

from shoal_core.errors import InvalidArgument


def doublings(key: str, small: int, large: int) -> int:
    """Returns how often `small` is doubled to make `large`.

    Args:
        key: What `large` is in the configuration, for the error.
        small: Stride where it begins.
        large: Stride where it ends.

    Raises:
        InvalidArgument: NETWORK_INVALID when it is no whole number of times.
    """
    count = (large // small).bit_length() - 1 if small > 0 else -1
    if count < 0 or small << count != large:
        raise InvalidArgument(
            "NETWORK_INVALID",
            f"{key} {large} is not {small} times a power of two; give {small}, {2 * small}, "
            f"{4 * small} …",
            key=key,
            stride=large,
        )
    return count
