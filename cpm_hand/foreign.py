"""Weight files of other programs: their bytes, within a bound, and the one error for what is wrong with them."""

import pathlib

MAX_BYTES = 2**30  # the published hand model has 147 MB; larger files are something else


class BadWeights(ValueError):
    """A weight file that cannot be used, or does not fit the net; the text names it."""


def read_bytes(path, first: int | None = None) -> bytes:
    """The content of a file.

    Args:
        path: a plain file; a pipe or a device might never end.
        first: only so many bytes.

    Raises:
        BadWeights: not there, not a file, not readable, or larger than MAX_BYTES.
    """
    path = pathlib.Path(path)
    try:
        if not path.exists():
            raise BadWeights(f"{path}: no such file.")
        if not path.is_file():
            raise BadWeights(f"{path}: is {'a folder' if path.is_dir() else 'no plain file'}; give a weight file.")
        if first is None and path.stat().st_size > MAX_BYTES:
            raise BadWeights(f"{path}: {path.stat().st_size} bytes; no weight file that is read here has more "
                             f"than {MAX_BYTES}.")
        with open(path, "rb") as file:
            return file.read(MAX_BYTES if first is None else first)
    except OSError as error:
        raise BadWeights(f"{path}: cannot be read ({error.strerror}).") from None
