"""From any picture to keypoints in that picture's own pixels."""

import itertools
import pathlib
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from cpm_hand import crops, draw, geometry, images, runtimes, search, shipped

# Presence below which the search reports no hand, for artefacts whose description names none of their own.
# `python benchmarks/search.py --calibrate` prints the one for a net: 5 % false finds on rendered scenes without a hand.
THRESHOLD = 0.35
BATCH_SIZE = 16
HANDEDNESS = ("auto", "left", "right")
_MISSING = object()


class Outputs(NamedTuple):
    """What the net saw and said about one crop; as the crop lies in the picture, never mirrored.

    Attributes:
        input: uint8 [size, size, 3], RGB.
        belief_maps: float32 [size, size, C], the last stage upsampled to the input's pixels.
        stages: float32 [S, h, w, C].
    """

    input: np.ndarray
    belief_maps: np.ndarray
    stages: np.ndarray


class Hand(NamedTuple):
    """One hand found in a picture.

    Attributes:
        keypoints: float32 [J, 3]: x and y in the picture's pixels, and the score, 0 to 1.
        presence: how sure the net is that there is a hand, 0 to 1: the mean score.
        box: float32 [4]: x, y, w, h in the picture's pixels of the square that the net saw.
        outputs: the net's own output, where it was asked for.
        is_left: 1 left, 0 right, -1 unknown.
    """

    keypoints: np.ndarray
    presence: float
    box: np.ndarray
    outputs: Outputs | None = None
    is_left: int = -1


class Predictor:
    """Find the keypoints of hands.

    It holds nothing that a call changes: threads may share one.

    Args:
        artefact: a path that `runtimes.load` takes, or what it returns; by default the shipped model.
        max_hands: how many hands to look for in a whole picture.
        handedness: "left" or "right", where that is known of all hands. A net trained on right hands is shown left
            ones as their mirror images; with "auto" it is shown both, and the higher mean score wins. A net trained
            on both kinds needs no mirror and cannot tell them apart.
        scales: crop sizes, in multiples of the usual one, to look at each hand with; the one with the highest mean
            score wins, as in OpenPose.
        threshold: in a whole picture, a hand whose presence is lower is not reported. None: the artefact's own
            where its description holds one, else `THRESHOLD`.
        hands: "both" or "right", what the net was trained on. None: as the artefact's description says.
        batch_size: squares that go through the net at a time, at most.

    Raises:
        BadArtefact: the path holds nothing that can be run.
        ValueError: an argument that cannot be.
    """

    def __init__(self, artefact: str | pathlib.Path | runtimes.Artefact | Callable = shipped.NAME, *,
                 max_hands: int = 1, handedness: str = "auto", scales: Iterable[float] = (1.0,),
                 threshold: float | None = None, hands: str | None = None, batch_size: int = BATCH_SIZE):
        scales = tuple(float(scale) for scale in scales)
        for fine, text in (
                (max_hands >= 1, f"max_hands must be at least 1, got {max_hands}"),
                (batch_size >= 1, f"batch_size must be at least 1, got {batch_size}"),
                (handedness in HANDEDNESS, f"handedness is one of {', '.join(HANDEDNESS)}, got {handedness!r}"),
                (hands in (None, "both", "right"), f"hands is 'both' or 'right' or None, got {hands!r}"),
                (scales and all(0.1 <= scale <= 10 for scale in scales),
                 f"scales are multiples of the usual crop, 0.1 to 10, one at least, got {scales}"),
                (threshold is None or 0 <= threshold <= 1, f"threshold is a presence, 0 to 1, got {threshold}")):
            if not fine:
                raise ValueError(f"{text}.")
        self.artefact = artefact if callable(artefact) else runtimes.load(artefact)
        self.max_hands, self.handedness, self.scales, self.batch_size = max_hands, handedness, scales, batch_size
        self.hands = hands or getattr(self.artefact, "hands", "both")
        own = getattr(self.artefact, "presence_threshold", None)
        self.threshold = next(value for value in (threshold, own, THRESHOLD) if value is not None)

    def __call__(self, image, boxes=None, outputs: bool = False) -> list[Hand]:
        """Find the hands in a picture.

        Args:
            image: uint8 [H, W, 3] RGB of any size, or a picture file, which is turned as its EXIF data say.
            boxes: float [N, 4]: x, y, w, h in px, tight around each hand; the context that the net needs is
                added here. None: the whole picture is searched.
            outputs: keep belief maps, stages and input of each hand.

        Returns:
            One Hand per box, in the order of the boxes, however sure the net is. Without boxes, the hands
            found, the strongest first; none where there is none.

        Raises:
            BadImage: the file is not a picture.
            ValueError: not a picture of uint8 RGB, or a box that holds nothing of it.
        """
        return next(self.stream([image], None if boxes is None else [boxes], outputs))

    def many(self, images: Iterable, boxes: Iterable | None = None, outputs: bool = False) -> list[list[Hand]]:
        """Find the hands in many pictures: what `stream` gives, as a list."""
        return list(self.stream(images, boxes, outputs))

    def stream(self, images: Iterable, boxes: Iterable | None = None, outputs: bool = False) -> Iterator[list[Hand]]:
        """Find the hands in one picture after the other, in full batches, with few pictures in memory at a time.

        Args:
            images: pictures as for a call; may be a generator.
            boxes: for each picture its boxes as for a call. None: all pictures are searched.
            outputs: as for a call.

        Yields:
            For each picture, in order, what a call would give.

        Raises:
            BadImage: a file is not a picture.
            ValueError: as for a call, or not as many boxes as pictures.
        """
        pictures, squares, views = [], [], 0
        for picture, around in _checked(images, boxes):
            pictures.append(picture)
            squares.append(around)
            # A search begins with many squares; what needs company are the few places that it looks at again.
            views += len(self._mirrors) * (search.CANDIDATES if boxes is None else len(around) * len(self.scales))
            if views >= self.batch_size:
                yield from self._predict(pictures, None if boxes is None else squares, outputs)
                pictures, squares, views = [], [], 0
        yield from self._predict(pictures, None if boxes is None else squares, outputs)

    @property
    def _mirrors(self) -> tuple[bool, ...]:
        """Which of picture (False) and mirror image (True) the net is shown."""
        if self.hands == "both":
            return (False,)
        return {"right": (False,), "left": (True,), "auto": (False, True)}[self.handedness]

    def _predict(self, pictures: list[np.ndarray], squares: list | None, outputs: bool) -> list[list[Hand]]:
        """The hands of each picture: in its squares, or wherever they are."""
        if squares is None:
            found = self._run(pictures, [search.find(picture.shape[1], picture.shape[0], self.artefact.size,
                                                     max_hands=self.max_hands, threshold=self.threshold)
                                         for picture in pictures])
            if self.scales == (1.0,) and not outputs:
                return found
            again = self._run(pictures, [self._at_scales([hand.box for hand in hands]) for hands in found], outputs)
            # Other crops may be less sure of a hand, or two of them show the same one.
            return [[hand for hand in search.strongest(hands, self.max_hands) if hand.presence >= self.threshold]
                    for hands in again]
        return self._run(pictures, [self._at_scales(around) for around in squares], outputs)

    def _at_scales(self, squares) -> Generator[np.ndarray, list[Hand], list[Hand]]:
        """Ask for each square at all scales and keep its strongest look."""
        looks = yield [geometry.widen(square, scale) for square in squares for scale in self.scales]
        per_square = len(self.scales)
        return [max(looks[first:first + per_square], key=lambda hand: hand.presence)
                for first in range(0, len(looks), per_square)]

    def _run(self, pictures: list[np.ndarray], asking: list[Generator], outputs: bool = False) -> list[list[Hand]]:
        """Show the net what each picture's generator asks for, all of them together, until each has its answer."""
        answers = [None] * len(asking)
        wanted = {number: next(generator) for number, generator in enumerate(asking)}
        while wanted:
            looks = iter(self._look([(pictures[number], square) for number, squares in wanted.items()
                                     for square in squares], outputs))
            following = {}
            for number, squares in wanted.items():
                try:
                    following[number] = asking[number].send([next(looks) for _ in squares])
                except StopIteration as done:
                    answers[number] = done.value
            wanted = following
        return answers

    def _look(self, views: list[tuple[np.ndarray, np.ndarray]], outputs: bool) -> list[Hand]:
        """The strongest hand in each (picture, square), by batches through the net."""
        mirrors = self._mirrors
        views = [(*view, mirrored) for view in views for mirrored in mirrors]
        hands = []
        for first in range(0, len(views), self.batch_size):
            batch = views[first:first + self.batch_size]
            inputs = np.stack([crops.cut(*view, self.artefact.size) for view in batch])
            result = self.artefact(inputs)
            if not np.isfinite(result["keypoints"]).all():
                raise ValueError("the net gives keypoints that are no numbers: its weights are damaged; train again.")
            hands += [self._hand(square, mirrored, inputs, result, row, outputs)
                      for row, (_, square, mirrored) in enumerate(batch)]
        return [max(hands[first:first + len(mirrors)], key=lambda hand: hand.presence)
                for first in range(0, len(hands), len(mirrors))]

    def _hand(self, square, mirrored: bool, inputs, result: dict, row: int, outputs: bool) -> Hand:
        """One row of what the net gave, in the picture's pixels and as the picture has it."""
        keypoints = np.array(result["keypoints"][row], np.float32)
        matrix = crops.matrix(square, mirrored, self.artefact.size)
        keypoints[:, :2] = geometry.apply(geometry.invert(matrix), keypoints[:, :2])
        along = slice(None, None, -1 if mirrored else 1)
        kept = Outputs(inputs[row][:, along], result["belief_maps"][row][:, along],
                       result["stages"][row][:, :, along]) if outputs else None
        is_left = int(mirrored) if self.hands == "right" else {"auto": -1, "left": 1, "right": 0}[self.handedness]
        return Hand(keypoints, float(result["presence"][row]), square, kept, is_left)


def belief_on_picture(hand: Hand, width: int, height: int, background: bool = True) -> np.ndarray:
    """The strongest belief of a hand's joints, moved from its crop to where it lies in the whole picture.

    Args:
        hand: predicted with `outputs=True`.
        width: of the picture, px.
        height: of the picture, px.
        background: whether the last map is the background, which is left out.

    Returns:
        float32 [H, W, 1]: one map for `draw.belief_overlay(…, background=False)`; 0 outside the crop.
    """
    belief = draw.strongest(hand.outputs.belief_maps, background)
    matrix = geometry.crop_matrix(hand.box, len(belief))
    return cv2.warpAffine(belief, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                          borderMode=cv2.BORDER_CONSTANT, borderValue=0)[..., None]


def _checked(pictures: Iterable, boxes: Iterable | None) -> Iterator[tuple[np.ndarray, list | None]]:
    """Each picture with the squares around its boxes, read and checked as they are asked for."""
    if boxes is None:
        yield from ((_picture(picture), None) for picture in pictures)
        return
    for number, (picture, around) in enumerate(itertools.zip_longest(pictures, boxes, fillvalue=_MISSING)):
        if picture is _MISSING or around is _MISSING:
            raise ValueError(f"each picture needs its boxes, but there are {number} "
                             f"{'pictures and more boxes' if picture is _MISSING else 'boxes and more pictures'}.")
        pixels = _picture(picture)
        try:
            squares = [geometry.widen(box) for box in _boxes(around, pixels.shape[1], pixels.shape[0])]
        except ValueError as error:
            raise ValueError(f"{picture}: {error}" if isinstance(picture, (str, pathlib.Path)) else error) from None
        yield pixels, squares


def _picture(image) -> np.ndarray:
    if isinstance(image, (str, pathlib.Path)):
        return images.read(image, honour_exif=True)
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"an image is uint8 RGB [H, W, 3] or the path of a picture, got "
                         f"{image.dtype} {list(image.shape)}. Repeat a grey one, scale and cast a float one.")
    return image


def _boxes(boxes, width: int, height: int) -> np.ndarray:
    """Boxes as float64 [N, 4], each of which holds a part of the picture."""
    boxes = np.asarray(boxes, np.float64)
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be [N, 4], rows of x, y, w, h in px, got shape {list(boxes.shape)}.")
    for box in boxes:
        x, y, w, h = box
        text = f"box x={x:g} y={y:g} w={w:g} h={h:g}"
        if not (np.isfinite(box).all() and w > 0 and h > 0):
            raise ValueError(f"a box needs finite x and y and a width and height above 0 px, got {text}.")
        if max(w, h) < 1:
            raise ValueError(f"{text} is smaller than a pixel; boxes are in pixels, not in fractions.")
        if x >= width or y >= height or x + w <= 0 or y + h <= 0:
            raise ValueError(f"{text} lies outside the picture of {width} x {height} px.")
        if max(w, h) > 100 * max(width, height):
            raise ValueError(f"{text} is more than 100 times the picture of {width} x {height} px.")
    return boxes
