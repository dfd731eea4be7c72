"""From any picture to keypoints in that picture's own pixels."""

import pathlib
from collections.abc import Callable, Generator, Iterable, Iterator

import numpy as np

from cpm_hand import artefacts, crops, geometry, given, runtimes, search, shipped
from cpm_hand.looks import Hand, Outputs, joined

# Presence below which the search reports no hand, for artefacts whose description names none of their own.
# `python benchmarks/search.py --calibrate` prints the one for a net: 5 % false finds on rendered scenes without a hand.
THRESHOLD = 0.3
BATCH_SIZE = 16
HANDEDNESS = ("auto", "left", "right")
# Crop sizes of the looks at a square, in multiples of it. After a search, which has shown the net dozens of squares
# already, more looks cost little; looks at a hand agree, looks at something else do not, and score less.
IN_A_BOX, WHILE_SEARCHING, AFTER_A_SEARCH = (1.0,), (1.0,), (1.0,) * 4
# How the looks at a hand in crops of one size differ: whether in the mirror, and turned by how many degrees.
WAYS = ((False, 0.0), (True, 0.0), (False, 15.0), (False, -15.0))


class Predictor:
    """Find the keypoints of hands.

    It holds nothing that a call changes: threads may share one.

    Args:
        artefact: a path that `runtimes.load` takes, or what it returns; by default the shipped model.
        max_hands: how many hands to look for in a whole picture.
        handedness: "left" or "right", where that is known of all hands. A net trained on right hands is shown left
            ones as their mirror images; with "auto" it is shown both, and the higher mean score wins. A net trained
            on both kinds needs no mirror and cannot tell them apart.
        scales: crop sizes, in multiples of the usual one, to look at each hand with; one that comes again is looked
            at in another of the `WAYS`: in the mirror, where the net knows both hands, then turned to either side.
            Each joint is where most looks see it (`looks.agreed`). No look is taken twice. None: `IN_A_BOX`, the
            fastest, and `AFTER_A_SEARCH`.
        threshold: in a whole picture, a hand whose presence is lower is not reported. None: the artefact's own
            where its description holds one, else `THRESHOLD`; both are for the looks that None stands for in scales.
        hands: "both" or "right", what the net was trained on. None: as the artefact's description says, "both" where
            it says nothing.
        batch_size: squares that go through the net at a time, at most.

    Raises:
        BadArtefact: the path holds nothing that can be run.
        ValueError: an argument that cannot be.
    """

    def __init__(self, artefact: str | pathlib.Path | runtimes.Artefact | Callable = shipped.NAME, *,
                 max_hands: int = 1, handedness: str = "auto", scales: Iterable[float] | None = None,
                 threshold: float | None = None, hands: str | None = None, batch_size: int = BATCH_SIZE):
        scales = None if scales is None else tuple(float(scale) for scale in scales)
        for fine, text in (
                (max_hands >= 1, f"max_hands must be at least 1, got {max_hands}"),
                (batch_size >= 1, f"batch_size must be at least 1, got {batch_size}"),
                (handedness in HANDEDNESS, f"handedness is one of {', '.join(HANDEDNESS)}, got {handedness!r}"),
                (hands in (None, "both", "right"), f"hands is 'both' or 'right' or None, got {hands!r}"),
                (scales is None or (scales and all(0.1 <= scale <= 10 for scale in scales)),
                 f"scales are multiples of the usual crop, 0.1 to 10, one at least, got {scales}"),
                (threshold is None or 0 <= threshold <= 1, f"threshold is a presence, 0 to 1, got {threshold}")):
            if not fine:
                raise ValueError(f"{text}.")
        self.artefact = artefact if callable(artefact) else runtimes.load(artefact)
        self.max_hands, self.handedness, self.scales, self.batch_size = max_hands, handedness, scales, batch_size
        self.hands = hands or getattr(self.artefact, "hands", "both")
        self.crop_factor = getattr(self.artefact, "crop_factor", geometry.CROP_FACTOR)
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
        for picture, around in given.checked(images, boxes, self.crop_factor):
            pictures.append(picture)
            squares.append(around)
            # A search begins with many squares; what needs company are the few places that it looks at again.
            views += len(self._mirrors) * (search.CANDIDATES if boxes is None
                                           else max(len(around), 1) * len(self.crop_scales(True)))
            if views >= self.batch_size:
                yield from self._predict(pictures, None if boxes is None else squares, outputs)
                pictures, squares, views = [], [], 0
        yield from self._predict(pictures, None if boxes is None else squares, outputs)

    def crop_scales(self, in_a_box: bool) -> tuple[float, ...]:
        """Crop sizes of the looks at a hand, in a box that was given or after a search."""
        return self.scales or (IN_A_BOX if in_a_box else AFTER_A_SEARCH)

    @property
    def _mirrors(self) -> tuple[bool, ...]:
        """Which of picture (False) and mirror image (True) the net is shown."""
        if self.hands == "both":
            return (False,)
        return {"right": (False,), "left": (True,), "auto": (False, True)}[self.handedness]

    def _predict(self, pictures: list[np.ndarray], squares: list | None, outputs: bool) -> list[list[Hand]]:
        """The hands of each picture: in its squares, or wherever they are."""
        if squares is not None:
            scales = self.crop_scales(True)
            return self._run(pictures, [self._look_at(around, scales) for around in squares], outputs)
        # What the threshold is for is what all looks say together: until then nothing is dropped.
        sizes = [(picture.shape[1], picture.shape[0]) for picture in pictures]
        crop_factor = search.MARGIN * self.crop_factor
        found = self._run(pictures, [
            self._following(search.find(*size, self.artefact.size, max_hands=self.max_hands,
                                        crop_factor=crop_factor), WHILE_SEARCHING) for size in sizes])
        settled = self._run(pictures, [self._following(search.settle(hands), self.crop_scales(False))
                                       for hands in found], outputs)
        # Two places may turn out to show the same hand.
        return [[hand for hand in search.strongest(hands, self.max_hands) if hand.presence >= self.threshold]
                for hands in settled]

    def _look_at(self, squares, scales: tuple[float, ...]) -> Generator[list[tuple], list[Hand], list[Hand]]:
        """Ask for each square at all scales, in as many ways as each is named, and join what is seen of its hand."""
        # A net of right hands is shown each of its looks in the mirror anyway.
        ways = [way for way in WAYS if self.hands == "both" or not way[0]]
        views = [(scale, *way) for scale in dict.fromkeys(scales) for way in ways[:scales.count(scale)]]
        looks = iter((yield [(geometry.widen(square, scale), *way) for square in squares for scale, *way in views]))
        return [joined([next(looks) for _ in views]) for _ in squares]

    def _following(self, searching: Generator,
                   scales: tuple[float, ...]) -> Generator[list[tuple], list[Hand], list[Hand]]:
        """A search, each of whose squares is looked at in all scales."""
        squares = next(searching)
        while True:
            looks = yield from self._look_at(squares, scales)
            try:
                squares = searching.send(looks)
            except StopIteration as done:
                return done.value

    def _run(self, pictures: list[np.ndarray], asking: list[Generator], outputs: bool = False) -> list[list[Hand]]:
        """Show the net what each picture's generator asks for, all of them together, until each has its answer.

        They ask for (square, mirrored, degrees) and are sent the Hand that was seen in each.
        """
        answers = [None] * len(asking)
        wanted = {number: next(generator) for number, generator in enumerate(asking)}
        while wanted:
            looks = iter(self._see([(pictures[number], *view) for number, views in wanted.items() for view in views],
                                    outputs))
            following = {}
            for number, views in wanted.items():
                try:
                    following[number] = asking[number].send([next(looks) for _ in views])
                except StopIteration as done:
                    answers[number] = done.value
            wanted = following
        return answers

    def _see(self, views: list[tuple[np.ndarray, np.ndarray, bool, float]], outputs: bool) -> list[Hand]:
        """The strongest hand in each (picture, square, mirrored, degrees), by batches through the net."""
        mirrors = len(self._mirrors)
        look = self.artefact if outputs else getattr(self.artefact, "answers", self.artefact)
        views = [(picture, square, mirror ^ mirrored, degrees) for picture, square, mirrored, degrees in views
                 for mirror in self._mirrors]
        hands = []
        for first in range(0, len(views), self.batch_size):
            batch = views[first:first + self.batch_size]
            inputs = np.stack([crops.cut(picture, square, mirrored, self.artefact.size, degrees)
                               for picture, square, mirrored, degrees in batch])
            result = look(inputs)
            artefacts.check_numbers(result["keypoints"])
            hands += [self._hand(view, inputs, result, row, outputs) for row, (_, *view) in enumerate(batch)]
        return [max(hands[first:first + mirrors], key=lambda hand: hand.presence)
                for first in range(0, len(hands), mirrors)]

    def _hand(self, view: tuple, inputs, result: dict, row: int, outputs: bool) -> Hand:
        """One row of what the net gave, in the picture's pixels; the outputs of a turned look are left out."""
        square, mirrored, degrees = view
        keypoints = np.array(result["keypoints"][row], np.float32)
        matrix = crops.matrix(square, mirrored, self.artefact.size, degrees)
        keypoints[:, :2] = geometry.apply(geometry.invert(matrix), keypoints[:, :2])
        along = slice(None, None, -1 if mirrored else 1)
        kept = Outputs(inputs[row][:, along], result["belief_maps"][row][:, along],
                       result["stages"][row][:, :, along]) if outputs and not degrees else None
        is_left = int(mirrored) if self.hands == "right" else {"auto": -1, "left": 1, "right": 0}[self.handedness]
        return Hand(keypoints, float(result["presence"][row]), square, kept, is_left)
