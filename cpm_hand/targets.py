"""Belief maps: keypoints to maps (`encode`), maps to keypoints (`decode`), and maps to pixels (`upsample`).

Written once in keras.ops, with operations that every export format has, so the same arithmetic makes the training
targets, runs in the loop and ends up inside the exported model.
"""

import math
from typing import NamedTuple

import numpy as np
from keras import ops

from cpm_hand import geometry

FLOOR = 1e-4  # beliefs are clamped to this before their logarithm is taken


class BeliefMaps(NamedTuple):
    """How keypoints become what a net predicts, and back.

    Attributes:
        stride: input pixels per map cell.
        sigma_px: standard deviation of the bells, in input pixels, whatever the stride.
        background: whether a last map holds 1 minus the largest joint value.
        reach_px: how far around a place `decode` counts the belief, where its weight has fallen to 1/e; at 0 it looks
            for the highest cell alone. For nets whose maps are probabilities: where these are torn between places, or
            spread out, the place with the most belief around it is nearer to the joint than the highest cell.
    """

    stride: int
    sigma_px: float
    background: bool = True
    reach_px: float = 0.0

    def num_maps(self, num_joints: int) -> int:
        """Channels C of the maps of J joints."""
        return num_joints + self.background

    @property
    def bell_cells(self) -> float:
        """Sum over all cells of one joint's whole bell, 2 pi sigma^2 in cells."""
        return 2 * math.pi * (self.sigma_px / self.stride) ** 2

    def encode(self, keypoints, visible, size: int):
        """Render one Gaussian belief map per joint, plus the background map.

        The value is 1 where the joint lies and ``exp(-d**2 / (2 * sigma_px**2))`` at distance ``d``. Positions
        are not rounded to map cells first, so `decode` can recover them.

        Args:
            keypoints: float [..., J, 2], x and y in input pixels; (0, 0) is the centre of the top-left pixel.
            visible: bool [..., J]. A joint that is not visible, or that lies outside the input, gets an all-zero
                map, whatever its coordinates say.
            size: side of the square input, px; a multiple of stride.

        Returns:
            float32 [..., size // stride, size // stride, C]: rows are y, and the last channel is the background.

        Raises:
            ValueError: size is not a multiple of stride.

        Source: Simon et al. 2017, arXiv:1704.07809; point-sampled at cell centres as in CMU's own training layer,
        not truncated.

        >>> codec = BeliefMaps(stride=8, sigma_px=7.0)
        >>> wrist = [[3.5, 3.5]]                 # the centre of cell (0, 0)
        >>> maps = ops.convert_to_numpy(codec.encode(wrist, [True], size=16))
        >>> maps[0, 0].round(2).tolist()         # the wrist, the background
        [1.0, 0.0]
        """
        geometry.check_size(size, self.stride)
        keypoints = ops.cast(keypoints, "float32")
        drawn = ops.logical_and(ops.cast(visible, "bool"), geometry.inside(keypoints, size, size))
        # NaN times zero is NaN: an unlabelled joint may hold anything, so it is moved, not multiplied, away.
        centres = geometry.to_map(ops.where(drawn[..., None], keypoints, 0.0), self.stride)  # [..., J, 2]
        cells = ops.arange(size // self.stride, dtype="float32")
        in_sigmas = self.stride / self.sigma_px
        bell = ops.exp(-0.5 * ops.square((cells - centres[..., None]) * in_sigmas))          # [..., J, 2, cells]
        columns = bell[..., 0, :] * ops.cast(drawn, "float32")[..., None]                    # [..., J, w]
        rows = bell[..., 1, :]                                                               # [..., J, h]
        joints = ops.moveaxis(rows, -2, -1)[..., :, None, :] * ops.moveaxis(columns, -2, -1)[..., None, :, :]
        if not self.background:
            return joints                                                                    # [..., h, w, J]
        return ops.concatenate([joints, 1.0 - ops.max(joints, axis=-1, keepdims=True)], axis=-1)

    def decode(self, maps):
        """Find each joint's position and score in its belief map.

        The highest cell is found by comparison with the maximum (the first one of equals; argmax is missing from
        some export formats). Through the logarithms of it and its neighbours goes a parabola in x and one in y:
        exact for a Gaussian, whatever its height. In a border cell, which lacks a neighbour, the parabola's
        curvature is that of sigma_px. The offset is at most half a cell.

        With reach_px the same is done on the belief around each place, which is 1 in the middle of a whole bell; the
        place is then good to about a hundredth of a cell. The score is that of half the reach, for belief that is
        spread over all of it is no sure joint. Part of the bell of a joint near the border is missing, which would move
        it inwards by up to sigma_px: there the map is read as it is, unless the two places are further apart than that.

        Args:
            maps: float [B, h, w, C], as a net predicts them; values are clamped to at least 1e-4.

        Returns:
            float32 [B, J, 3]: x and y in input px, and the score: the parabola's apex, at most 1, and 0 for a map
            that nowhere rises above 1e-4.
        """
        joints = ops.cast(maps, "float32")
        if self.background:
            joints = joints[..., :-1]
        highest = self._apexes(joints, self.sigma_px)
        if not self.reach_px:
            return highest
        around, near = self._gathered(joints, self.reach_px), self._gathered(joints, self.reach_px / 2)
        around = ops.concatenate([around[..., :2], near[..., 2:]], axis=-1)
        height, width = joints.shape[1], joints.shape[2]
        places = ops.stack([highest[..., :2], around[..., :2]])                              # [2, B, J, 2]
        margin, far_side = 3 * self.sigma_px, np.float32([width, height]) * self.stride - 1
        inner = ops.logical_and(places >= margin, places <= far_side - margin)
        whole = ops.min(ops.cast(inner, "float32"), axis=(0, -1))                            # [B, J], 0 or 1
        apart = ops.max(ops.cast(ops.abs(places[0] - places[1]) > self.sigma_px, "float32"), axis=-1)
        taken = ops.maximum(whole, apart) * ops.cast(highest[..., 2] > 0, "float32")
        return highest + taken[..., None] * (around - highest)

    def _gathered(self, joints, reach_px: float):
        """`_apexes` of the belief around each place of maps [B, h, w, J], 1 in the middle of a whole bell."""
        sigma, reach = self.sigma_px / self.stride, reach_px / self.stride
        rows, columns = (gathering_matrix(cells, sigma, reach) for cells in joints.shape[1:3])
        # For the parabola in a border cell: of what a whole bell becomes, 1 in its middle, how high is the next cell?
        middle = 8 * math.ceil(sigma + reach)
        bell = np.exp(-0.5 * np.square((np.arange(2 * middle + 1) - middle) / sigma))
        beside = float(gathering_matrix(len(bell), sigma, reach)[middle + 1] @ bell)
        return self._apexes(_resampled(joints, rows, columns), self.stride / math.sqrt(-2 * math.log(beside)))

    def _apexes(self, joints, sigma_px: float):
        """`decode` on maps [B, h, w, J] of joints alone, of bells of that sigma."""
        height, width = joints.shape[1], joints.shape[2]
        best = ops.max(joints, axis=(1, 2), keepdims=True)                                   # [B, 1, 1, J]
        countdown = np.arange(height * width, 0, -1, dtype=np.float32).reshape(1, height, width, 1)
        rank = ops.cast(ops.equal(joints, best), "float32") * countdown
        peak = ops.cast(ops.equal(rank, ops.max(rank, axis=(1, 2), keepdims=True)), "float32")
        logs = ops.log(ops.maximum(joints, FLOOR))
        apex = ops.sum(peak * logs, axis=(1, 2))                                             # [B, J]
        coordinates = []
        for axis, length in ((2, width), (1, height)):
            cell, offset, rise = self._fit(peak, logs, axis, length, sigma_px)
            coordinates.append(geometry.from_map(cell + offset, self.stride))
            apex = apex + rise
        found = ops.cast(best[:, 0, 0, :] > FLOOR, "float32")
        score = ops.minimum(ops.exp(apex), 1.0) * found
        return ops.stack([*coordinates, score], axis=-1)

    def _fit(self, peak, logs, axis: int, length: int, sigma_px: float):
        """Parabola through the peak cell and its two neighbours along one axis.

        Returns:
            cell, offset (both in cells) and rise of the logarithm from the cell to the apex, each [B, J].
        """
        shape = [1, 1, 1, 1]
        shape[axis] = length
        index = np.arange(length, dtype=np.float32).reshape(shape)

        def at_peak(values):
            return ops.sum(peak * values, axis=(1, 2))

        def shifted(by: int):
            """logs moved along the axis, so that the neighbour's value stands in the peak's cell; 0 at the edge."""
            pad = [(0, 0)] * 4
            pad[axis] = (1, 0) if by < 0 else (0, 1)
            keep = [slice(None)] * 4
            keep[axis] = slice(0, length) if by < 0 else slice(1, length + 1)
            return ops.pad(logs, pad)[tuple(keep)]

        cell = at_peak(index)
        middle, before, after = at_peak(logs), at_peak(shifted(-1)), at_peak(shifted(+1))
        at_first = at_peak(np.float32(index == 0))
        at_last = at_peak(np.float32(index == length - 1))
        curvature = -((self.stride / sigma_px) ** 2)      # second difference of a Gaussian's logarithm
        before = before + at_first * (curvature + 2 * middle - after)
        after = after + at_last * (curvature + 2 * middle - before)
        bend = before - 2 * middle + after                     # at most 0: the middle is the highest
        slope = 0.5 * (after - before)
        offset = ops.clip(-slope / ops.minimum(bend, -1e-6), -0.5, 0.5)
        return cell, offset, slope * offset + 0.5 * bend * offset * offset

    def presence(self, keypoints):
        """How sure the net is that there is a hand at all: the mean score of its joints.

        Args:
            keypoints: float [B, J, 3], from `decode`.

        Returns:
            float32 [B], 0 to 1.
        """
        return ops.mean(keypoints[..., 2], axis=-1)

    def upsample(self, maps, size: int):
        """Bicubic upsampling to the input's pixels, as two matrix products.

        Keys' kernel with a = -0.5, half-pixel centres, weights renormalised at the border: the numbers of
        `tf.image.resize(..., "bicubic")`, with operations that every runtime has.

        Args:
            maps: float [B, h, w, C].
            size: side of the square output, px.

        Returns:
            float32 [B, size, size, C].
        """
        maps = ops.cast(maps, "float32")
        return _resampled(maps, bicubic_matrix(maps.shape[1], size), bicubic_matrix(maps.shape[2], size))


def _resampled(maps, rows: np.ndarray, columns: np.ndarray):
    """Maps [B, h, w, C] times a matrix [H, h] along y and one [W, w] along x: [B, H, W, C]."""
    height, width, channels = maps.shape[1:]
    tall = ops.matmul(rows, ops.reshape(maps, (-1, height, width * channels)))               # [B, H, w * C]
    return ops.matmul(columns, ops.reshape(tall, (-1, len(rows), width, channels)))          # [B, H, W, C]


def gathering_matrix(cells: int, sigma: float, reach: float) -> np.ndarray:
    """The matrix that gathers the belief around each cell of an axis.

    Weights fall as exp(-(d / reach)^3): nearly alike within most of the reach, since what is asked is how much belief
    is there, yet highest in the middle, or a lone bell would have no place. A Gaussian of the same width tells two
    places that are torn apart less well, and a box leaves the place within it open.

    Args:
        cells: number of cells along the axis.
        sigma: of the bells in the maps, in cells.
        reach: where a weight is 1/e, in cells.

    Returns:
        float32 [cells, cells], scaled such that a bell of `sigma` with an apex of 1, far from the border, gives 1 in
        its middle.
    """
    def weight(distance):
        return np.exp(-np.abs(distance / reach) ** 3)

    index = np.arange(cells)
    everywhere = np.arange(-8 * math.ceil(sigma), 8 * math.ceil(sigma) + 1)
    whole = np.sum(np.exp(-0.5 * np.square(everywhere / sigma)) * weight(everywhere))
    return np.float32(weight(index[:, None] - index) / whole)


def bicubic_matrix(source: int, target: int) -> np.ndarray:
    """The matrix that resamples `source` cells to `target` pixels along one axis.

    Returns:
        float32 [target, source]; each row has at most four weights and sums to 1.

    Source: Keys 1981, a = -0.5.
    """
    centres = (np.arange(target) + 0.5) * source / target - 0.5
    distance = np.abs(centres[:, None] - np.arange(source)[None, :])
    near = ((1.5 * distance - 2.5) * distance) * distance + 1.0
    far = ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
    return np.float32(weights / weights.sum(1, keepdims=True))
