"""Labels to batches: a tf.data pipeline whose every batch is a pure function of (seed, step).

The order of samples is arithmetic, not state: epoch e is a seeded permutation, sample i of the run is known without
the ones before it. So a resumed run sees what an uninterrupted one would have seen, and n workers together read
exactly the batches that one would have read.
"""

import functools
from typing import NamedTuple

import cv2
import numpy as np
import tensorflow as tf

from cpm_hand import crops, geometry, images
from cpm_hand.augment import AUGMENTATIONS, Augmentation, random_matrix, random_pixels
from cpm_hand.labels import Labels
from cpm_hand.targets import BeliefMaps


class Batch(NamedTuple):
    """What a training step and a validation step see.

    Attributes:
        images: uint8 [B, size, size, 3], RGB.
        targets: float32 [B, h, w, C], belief maps.
        supervised: bool [B, J], channels that enter the loss: annotated joints, and all of a picture without a
            hand; none of a bad sample that was skipped.
        keypoints: float32 [B, J, 2], x and y in input px.
        labelled: bool [B, J], joints that are annotated and inside the input: what metrics count.
        scale: float32 [B], input px per image px at the crop, before augmentation.
    """

    images: object
    targets: object
    supervised: object
    keypoints: object
    labelled: object
    scale: object


class Mixture:
    """Which sample stands at which place of the run.

    A run is cut into epochs as long as all sets together. Within an epoch each set has a share of the places in
    proportion to its weight, in a seeded order; each set goes through its own seeded permutation, so that it
    shows all its samples before it repeats one.

    Args:
        sizes: number of samples of each set.
        weights: share of each set; None is in proportion to the sizes, so that an epoch shows each sample once.
        seed: of all permutations.
    """

    def __init__(self, sizes: list[int], weights: list[float] | None = None, seed: int = 0):
        self.sizes, self.seed = list(sizes), seed
        self.length = sum(sizes)
        shares = np.array(sizes if weights is None else weights, np.float64)
        exact = shares / shares.sum() * self.length
        self.quotas = np.floor(exact).astype(int)  # places of each set in an epoch
        # Largest remainder: the places left over go to the sets that lost most by rounding down.
        for index in np.argsort(self.quotas - exact, kind="stable")[:self.length - self.quotas.sum()]:
            self.quotas[index] += 1
        if 0 in self.quotas:
            raise ValueError(f"a set would never be shown: the weights {shares.tolist()} give it less than one of the "
                             f"{self.length} places of an epoch. Weights are shares: 1 and 1 show both alike.")
        self._epoch = functools.lru_cache(maxsize=2)(self._make_epoch)
        self._pass = functools.lru_cache(maxsize=2 * len(self.sizes))(self._make_pass)

    def _make_pass(self, number: int, times: int) -> np.ndarray:
        return np.random.default_rng([self.seed, 1, number, times]).permutation(self.sizes[number])

    def _make_epoch(self, epoch: int) -> np.ndarray:
        order = np.random.default_rng([self.seed, 2, epoch]).permutation(
            np.repeat(np.arange(len(self.sizes)), self.quotas))
        samples = np.empty(self.length, np.int64)
        for number, (size, quota) in enumerate(zip(self.sizes, self.quotas)):
            places = np.arange(epoch * quota, (epoch + 1) * quota)
            members = [self._pass(number, times)[places[places // size == times] % size]
                       for times in np.unique(places // size)]
            samples[order == number] = np.concatenate([*members, []]) + sum(self.sizes[:number])
        return samples

    def samples(self, first: int, count: int) -> np.ndarray:
        """Indices of the samples at places first .. first + count - 1 of the run: int64 [count]."""
        places = np.arange(first, first + count)
        epochs = places // self.length
        return np.concatenate([self._epoch(int(epoch))[places[epochs == epoch] % self.length]
                               for epoch in np.unique(epochs)])


class Loader:
    """One sample from disk: read, crop, augment. What goes wrong is kept, with the file's name.

    Args:
        labels: all samples.
        size: side of the input, px.
        augmentation: how far pictures may be changed.
        hands: "both" mirrors at random when augmenting, "right" mirrors the left hands.
        crop_factor: side of the crop over the longer side of the tight joint box; of a picture that is cropped
            already, the middle is taken that is to the whole as this is to `geometry.CROP_FACTOR`.
        crop_factors: [N], that of each sample, where they are not all the same.
        seed: of the augmentation.
        skip_bad: a picture that cannot be read becomes a grey one that trains nothing, so that the order of the
            others stays, and is listed in `bad`; the loss of its batch is lower by its share. Otherwise it
            stops the run.
    """

    def __init__(self, labels: Labels, size: int, *, augmentation: Augmentation = AUGMENTATIONS["none"],
                 hands: str = "both", crop_factor: float = geometry.CROP_FACTOR,
                 crop_factors: np.ndarray | None = None, seed: int = 0, skip_bad: bool = False):
        self.labels, self.size, self.augmentation = labels, size, augmentation
        self.hands, self.crop_factor, self.seed, self.skip_bad = hands, crop_factor, seed, skip_bad
        self.crop_factors = np.full(labels.num_hands, crop_factor) if crop_factors is None else crop_factors
        self.bad: dict[str, str] = {}
        self.failure: Exception | None = None

    def __call__(self, sample, place):
        """(sample index, place in the run) -> image, keypoints, supervised, labelled, scale; see `Batch`."""
        path = str(self.labels.paths[sample])
        try:
            image = images.read(path)
        except images.BadImage as error:
            if not self.skip_bad:
                self.failure = error
                raise
            self.bad[path] = str(error)
            return self._nothing()
        # The generator is the place's own, so no other sample's draws can shift these.
        rng = np.random.Generator(np.random.Philox(key=[self.seed, int(place)]))
        matrix = self.matrix(rng, int(sample))
        picture = random_pixels(rng, images.warp(image, matrix, self.size), self.augmentation)
        keypoints = geometry.apply(matrix, self.labels.keypoints[sample]).astype(np.float32)
        visible = self.labels.visible[sample] & self.labels.has_hand[sample]
        keypoints = np.where(visible[:, None], keypoints, np.float32(0))
        supervised = self.labels.visible[sample] | ~self.labels.has_hand[sample]
        labelled = visible & geometry.inside(keypoints, self.size, self.size)
        scale = np.float32(self.size / self._box(sample)[2])
        return picture, keypoints, supervised, labelled, scale

    def matrix(self, rng: np.random.Generator, sample: int) -> np.ndarray:
        """Image px to input px for that sample: crop, mirror, then the random part."""
        augmented = self.augmentation != AUGMENTATIONS["none"]
        if self.hands == "right":
            flip = self.labels.is_left[sample] == 1
        else:
            flip = augmented and rng.random() < 0.5
        matrix = crops.matrix(self._box(sample), flip, self.size)
        if augmented:
            matrix = geometry.compose(random_matrix(rng, self.size, self.augmentation), matrix)
        return matrix

    def _box(self, sample: int) -> np.ndarray:
        """The square that is cropped, x, y, w, h in image px."""
        box, crop_factor = self.labels.boxes[sample], self.crop_factors[sample]
        return box if crop_factor == geometry.CROP_FACTOR else geometry.widen(box, crop_factor / geometry.CROP_FACTOR)

    def _nothing(self):
        joints = self.labels.skeleton.num_joints
        grey = np.full((self.size, self.size, 3), images.BORDER, np.uint8)
        none = np.zeros(joints, bool)
        return grey, np.zeros((joints, 2), np.float32), none, none, np.float32(1)


class Data(NamedTuple):
    """What a run learns from and is measured on.

    Attributes:
        training: loader of the training samples.
        mixture: their order.
        validation: loader of the validation samples; None is no validation.
        batch_size: of all workers together.
    """

    training: Loader
    mixture: Mixture
    validation: Loader | None
    batch_size: int


def _load(loader: Loader, sample, place):
    """The loader inside the graph. Not stateful: TensorFlow would run stateful calls one by one."""
    joints, size = loader.labels.skeleton.num_joints, loader.size
    image, keypoints, supervised, labelled, scale = tf.numpy_function(
        loader, [sample, place], [tf.uint8, tf.float32, tf.bool, tf.bool, tf.float32], stateful=False)
    return (tf.ensure_shape(image, (size, size, 3)), tf.ensure_shape(keypoints, (joints, 2)),
            tf.ensure_shape(supervised, (joints,)), tf.ensure_shape(labelled, (joints,)),
            tf.ensure_shape(scale, ()))


def _encode(target: BeliefMaps, size: int, image, keypoints, supervised, labelled, scale) -> Batch:
    return Batch(image, target.encode(keypoints, labelled, size), supervised, keypoints, labelled, scale)


def training_batches(loader: Loader, mixture: Mixture, target: BeliefMaps, *, batch_size: int, first_step: int,
                     shard: tuple[int, int, int] = (0, 1, 1)) -> tf.data.Dataset:
    """Endless training batches, from the given step on.

    Args:
        loader: reads and augments a sample.
        mixture: the order of the samples.
        target: how keypoints become maps.
        batch_size: of all workers together.
        first_step: steps already done; the dataset goes on behind them.
        shard: (this worker, number of workers, replicas in each worker). A worker takes its slice of each batch.

    Returns:
        Dataset of `Batch`, each with batch_size / (workers * replicas) samples: one element for each replica.
    """
    cv2.setNumThreads(1)  # tf.data already runs a picture per core; OpenCV's own threads only spin beside it
    worker, workers, replicas = shard
    mine = batch_size // workers

    def places(step):
        first = int(step) * batch_size + worker * mine
        return mixture.samples(first, mine), np.arange(first, first + mine)

    def places_in_graph(step):
        samples, numbers = tf.numpy_function(places, [step], [tf.int64, tf.int64], stateful=False)
        return tf.data.Dataset.from_tensor_slices(
            (tf.ensure_shape(samples, (mine,)), tf.ensure_shape(numbers, (mine,))))

    dataset = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)  # steps, not pictures: cheap to skip
    dataset = dataset.flat_map(places_in_graph)  # this worker's slice of each step's batch, in order
    # Deterministic: the batches of a step do not depend on which thread was first.
    dataset = dataset.map(functools.partial(_load, loader), num_parallel_calls=tf.data.AUTOTUNE,
                          deterministic=True)
    dataset = dataset.batch(mine // replicas, drop_remainder=True)  # endless, so nothing is dropped
    dataset = dataset.map(functools.partial(_encode, target, loader.size))  # a whole batch at once
    return dataset.prefetch(2)  # the next batches are made while the net computes


def evaluation_batches(loader: Loader, target: BeliefMaps, *, batch_size: int, rows=None) -> tf.data.Dataset:
    """Each sample once, in order; the last batch may be smaller, for evaluation never drops an example.

    Args:
        loader: with augmentation "none".
        target: how keypoints become maps.
        batch_size: pictures at a time.
        rows: indices to go through; None is all.

    Returns:
        Dataset of `Batch`.
    """
    rows = np.arange(loader.labels.num_hands) if rows is None else np.asarray(rows, np.int64)
    dataset = tf.data.Dataset.from_tensor_slices((rows, np.zeros_like(rows)))
    dataset = dataset.map(functools.partial(_load, loader), num_parallel_calls=tf.data.AUTOTUNE,
                          deterministic=True)
    dataset = dataset.batch(batch_size)
    return dataset.map(functools.partial(_encode, target, loader.size)).prefetch(1)


def first_batch(loader: Loader, target: BeliefMaps, count: int) -> Batch:
    """A few pictures from all over a set, the same ones each time, as they are before any augmentation.

    Args:
        loader: of the set; bad pictures are treated as it treats them.
        target: how keypoints become maps.
        count: how many; fewer where the set is smaller.
    """
    rows = np.unique(np.linspace(0, loader.labels.num_hands - 1, count).astype(int))
    plain = Loader(loader.labels, loader.size, hands=loader.hands, crop_factors=loader.crop_factors,
                   skip_bad=loader.skip_bad)
    try:
        return next(iter(evaluation_batches(plain, target, batch_size=len(rows), rows=rows)))
    finally:
        loader.failure = loader.failure or plain.failure
