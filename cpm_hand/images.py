"""Picture files in and out, and the one function that applies an affine map to pixels.

Pictures are uint8 RGB [H, W, 3] everywhere in the package; OpenCV's BGR ends in this file. Files from outside
are hostile: whatever is wrong with one comes back as `BadImage`, a ValueError with the file's path.
"""

import io
import math
import os
import pathlib
import re
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from cpm_hand import geometry

BORDER = (128, 128, 128)  # what lies outside a picture, in training and in use; the nets read it as zero
MAX_PIXELS = 178_956_970  # a larger picture is refused before its pixels take the memory: Pillow's own limit
KINDS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "SUN", "TIFF", "WEBP")  # that OpenCV reads, too
# What counts as a picture in a folder.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".avif", ".jp2", ".pgm", ".ppm")
LONGEST_SIDE = 32_766     # px; cv2.warpAffine takes no longer one

# Where a segment of a JPEG begins; in its coded data nothing looks like it.
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])")


class BadImage(ValueError):
    """A picture file that cannot be used; the text says which, what was found and what was expected."""


def read_size(path, data: bytes | None = None) -> tuple[int, int]:
    """Width and height in pixels, from the header alone; EXIF orientation is not applied.

    Args:
        path: the file; named in errors.
        data: its content, where it has been read already.

    Raises:
        BadImage: no such file, empty, not an image, or absurdly large.
    """
    try:
        with Image.open(path if data is None else io.BytesIO(data), formats=KINDS) as image:
            width, height = image.size
    except FileNotFoundError:
        raise BadImage(f"{path}: no such image file.") from None
    except Image.DecompressionBombError as error:
        raise BadImage(f"{path}: {error} Scale the picture down.") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, RuntimeError) as error:
        raise BadImage(f"{path}: {_what_is_wrong(path, error)}; expected a JPEG or PNG picture.") from None
    if width * height > MAX_PIXELS:
        raise BadImage(f"{path}: {width} x {height} pixels are more than the {MAX_PIXELS} allowed; "
                       f"scale the picture down.")
    return width, height


def _what_is_wrong(path, error: Exception) -> str:
    try:
        size = os.path.getsize(path)
    except OSError as problem:
        return f"cannot be read ({problem.strerror})"
    if size == 0:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return f"not an image ({size} bytes)"
    return f"cannot be read as an image ({error})"


def read(path, honour_exif: bool = False) -> np.ndarray:
    """Decode a picture file.

    Args:
        path: a JPEG or PNG file, or another of KINDS.
        honour_exif: turn the picture as its EXIF orientation says. False for training sets, whose labels are
            in the stored pixels; True for pictures that people give.

    Returns:
        uint8 [H, W, 3], RGB; grey, alpha, palette and 16-bit pictures are converted.

    Raises:
        BadImage: missing, empty, cut short, or not an image.
    """
    try:
        data = pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        raise BadImage(f"{path}: no such image file.") from None
    except OSError as error:
        raise BadImage(f"{path}: cannot be read ({error.strerror}).") from None
    if not data:
        raise BadImage(f"{path}: the file is empty; expected a JPEG or PNG picture.")
    if _is_cut_short(data):
        raise BadImage(f"{path}: the picture is cut short after {len(data)} bytes; copy or load it again.")
    read_size(path, data)  # refuses what is not an image, and decompression bombs, before any pixel is decoded
    flags = cv2.IMREAD_COLOR if honour_exif else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise BadImage(f"{path}: cannot be decoded ({error.err}).") from None
    if bgr is None:
        raise BadImage(f"{path}: cannot be decoded as an image ({len(data)} bytes); copy or load it again.")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def unreadable(paths: Iterable[str]) -> dict[str, str]:
    """Which pictures `read` refuses, and why; each is decoded once, with a bar on a terminal.

    Args:
        paths: of the pictures; repeats are looked at once.
    """
    def problem(path):
        try:
            read(path)
        except BadImage as error:
            return str(error)
        return None

    paths = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding leaves Python's lock
        found = tqdm(pool.map(problem, paths), total=len(paths), unit="picture", leave=False, disable=None)
        return {path: text for path, text in zip(paths, found) if text}


def _is_cut_short(data: bytes) -> bool:
    """JPEG and PNG end with a marker. OpenCV fills the missing rest of a JPEG with grey and says nothing.

    A JPEG is gone through segment by segment, for those may hold a whole small one, and what telephones append may
    hold anything. The coded data behind the header of a scan hold no marker, so the next one begins a segment again.
    """
    if data.startswith(b"\xff\xd8"):
        place = 2
        while (marker := _MARKER.search(data, place)) and marker[1] != b"\xd9":
            place = marker.end() + max(int.from_bytes(data[marker.end():marker.end() + 2]), 2)
        return marker is None
    if data.startswith(b"\x89PNG"):
        return data.rfind(b"IEND") < 0
    return False


def write(path, image: np.ndarray) -> None:
    """Write a picture, whole or not at all.

    Args:
        path: the suffix (.png or .jpg) decides the format; missing parent folders are made.
        image: uint8 [H, W, 3], RGB.

    Raises:
        ValueError: not a picture, or a suffix that stands for no format.
        OSError: the folder cannot be written, or the disk is full; nothing is left behind.
    """
    path = pathlib.Path(path)
    try:
        ok, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:  # an unknown suffix or an empty picture
        ok = False
    if not ok:
        raise ValueError(f"{path}: cannot encode a picture of shape {image.shape} as '{path.suffix}'.")
    write_bytes(path, data.tobytes())


def write_bytes(path, data: bytes) -> None:
    """Put bytes into a file, whole or not at all: written beside it, flushed to disk, then renamed.

    A link stays one, and what is no file, such as /dev/stdout, is written to and not replaced.

    Raises:
        OSError: as the system gives it; the old file, if there was one, is left as it was.
    """
    path = pathlib.Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        path.write_bytes(data)  # as it is given: what /dev/stdout leads to may have no name
        return
    path = pathlib.Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's files are for the owner alone
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def warp(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Move a picture's pixels by an affine map into a square input.

    Args:
        image: uint8 [H, W, 3].
        matrix: float [2, 3], image px to input px.
        size: side of the input, px.

    Returns:
        uint8 [size, size, 3]; bilinear, area-averaged first where the map shrinks by two or more; what lies
        outside the picture is BORDER.
    """
    if max(image.shape[:2]) > LONGEST_SIDE:
        image, matrix = _part_that_counts(image, np.asarray(matrix, np.float64), size)
    (a, b, _), (c, d, _) = matrix
    shrink, every = reduction(math.sqrt(abs(a * d - b * c)))
    if shrink >= 2:
        height, width = image.shape[:2]
        small = (max(width // shrink, 1), max(height // shrink, 1))
        first = min(every // 2, height - 1)
        rows = image[first::every]
        image = cv2.resize(rows, small, interpolation=cv2.INTER_AREA)
        sx, sy = width / small[0], every * len(rows) / small[1]
        enlarge = np.array([[sx, 0, 0.5 * sx - 0.5], [0, sy, 0.5 * sy + first - 0.5 * every]])
        matrix = geometry.compose(matrix, enlarge)
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR,
                          borderMode=cv2.BORDER_CONSTANT, borderValue=BORDER)


def _part_that_counts(image: np.ndarray, matrix: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of a picture that an input shows, with the sampling's margin, and its own map into the input."""
    corners = np.array([(x, y) for x in (-2, size + 1) for y in (-2, size + 1)], np.float64)
    seen = np.linalg.solve(matrix[:, :2], (corners - matrix[:, 2]).T)                              # [2, 4], x and y
    (left, right), (top, bottom) = (
        (int(np.clip(places.min() - 2, 0, length - 1)), int(np.clip(places.max() + 3, 1, length)))
        for places, length in zip(seen, image.shape[1::-1]))
    from_part = np.array([[1.0, 0, left], [0, 1, top]])
    return image[top:bottom, left:right], geometry.compose(matrix, from_part)


def reduction(scale: float) -> tuple[int, int]:
    """By how much `warp` averages before a map of that scale, and every how manieth row it reads for that.

    Four rows of all their pixels say what the mean is; more of them only cost time, most of it on large photographs.

    Args:
        scale: input px per image px, above 0.

    Returns:
        (shrink, every): pixels that become one, along each axis; from 8 on only each every-th row is read. OpenCV is
        three times as fast where the picture's sides are multiples of shrink.

    >>> reduction(0.3), reduction(1 / 14)
    ((3, 1), (12, 3))
    """
    shrink = max(int(1 / max(scale, 1e-6)), 1)
    every = max(shrink // 4, 1)
    return shrink - shrink % every, every
