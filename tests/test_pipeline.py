import cv2
import numpy as np
import pytest
import tensorflow as tf
from conftest import write_hands

from cpm_hand import augment, datasets, geometry, images
from cpm_hand.pipeline import Loader, Mixture, evaluation_batches, first_batch, training_batches
from cpm_hand.targets import BeliefMaps

TARGET = BeliefMaps(stride=8, sigma_px=7.0)
DEFAULT = augment.AUGMENTATIONS["default"]


@pytest.fixture(scope="module")
def labels(synth_root):
    return datasets.read("cmu_synth", synth_root)[0]


def take(dataset, count):
    return [tf.nest.map_structure(lambda tensor: tensor.numpy(), batch) for batch in dataset.take(count)]


def test_a_crop_factor_cuts_the_same_square_narrower_or_wider(labels):
    sample = 0
    for factor in (1.1, 2.2, 3.3):
        loader = Loader(labels, 64, crop_factor=factor)
        x, y, side, _ = labels.boxes[sample].astype(float)
        middle, wanted = np.array([x, y]) + (side - 1) / 2, side * factor / 2.2
        matrix = loader.matrix(np.random.default_rng(0), sample)
        # Its middle comes to the input's, and so many px of the picture make the input's side.
        np.testing.assert_allclose(geometry.apply(matrix, middle[None])[0], [31.5, 31.5], atol=1e-3)
        assert matrix[0, 0] == matrix[1, 1] == pytest.approx(64 / wanted, rel=1e-5)
        assert loader(sample, 0)[-1] == pytest.approx(64 / wanted, rel=1e-5)


def test_the_pictures_that_are_shown_are_cut_as_those_that_are_trained_on_but_not_augmented(labels):
    shown = first_batch(Loader(labels, 64, crop_factor=1.1, augmentation=DEFAULT), TARGET, 3)
    rows = np.unique(np.linspace(0, labels.num_hands - 1, 3).astype(int))
    for row, picture in zip(rows, shown.images, strict=True):
        np.testing.assert_array_equal(picture, Loader(labels, 64, crop_factor=1.1)(row, 0)[0])


# ---- the order of samples

def test_each_epoch_shows_every_sample_once_in_another_order():
    mixture = Mixture([7, 5])
    first, second = mixture.samples(0, 12), mixture.samples(12, 12)
    assert sorted(first) == sorted(second) == list(range(12))
    assert list(first) != list(second) and list(first) != list(range(12))


def test_a_place_has_the_same_sample_however_one_gets_there():
    mixture = Mixture([7, 5], [1, 3], seed=3)
    whole = mixture.samples(0, 60)
    again = np.concatenate([Mixture([7, 5], [1, 3], seed=3).samples(first, 7) for first in range(0, 60, 7)])[:60]
    np.testing.assert_array_equal(whole, again)


def test_weights_are_shares_of_the_pictures():
    samples = Mixture([90, 10], [1, 3]).samples(0, 1000)
    assert np.mean(samples >= 90) == pytest.approx(0.75)


def test_a_weighted_set_shows_all_its_samples_before_it_repeats_one():
    samples = Mixture([90, 10], [1, 3]).samples(0, 1000)
    small, large = samples[samples >= 90], samples[samples < 90]
    assert all(len(set(small[start:start + 10])) == 10 for start in range(0, 740, 10))
    assert len(set(large[:90])) == 90


def test_a_set_that_would_never_be_shown_is_refused():
    with pytest.raises(ValueError, match="a set would never be shown: the weights .0.1, 5591"):
        Mixture([100, 5591], [0.1, 5591])


def test_another_seed_gives_another_order():
    assert list(Mixture([50], seed=0).samples(0, 50)) != list(Mixture([50], seed=1).samples(0, 50))


# ---- one sample

def test_without_augmentation_a_whole_picture_arrives_as_it_was_stored(labels):
    image, keypoints, supervised, labelled, scale = Loader(labels, 64)(3, 0)
    np.testing.assert_array_equal(image, images.read(labels.paths[3]))
    np.testing.assert_allclose(keypoints, labels.keypoints[3], atol=1e-5)
    assert supervised.all() and labelled.all() and scale == 1


def test_pixels_and_joints_move_together(tmp_path):
    """A white dot on each joint of a black picture is found again where the moved joint says it is."""
    write_hands(tmp_path / "synth2", 1, size=200)
    one = datasets.read("cmu_synth", tmp_path)[0]
    dots = np.zeros((200, 200, 3), np.uint8)
    for x, y in one.keypoints[0]:
        cv2.circle(dots, (round(16 * float(x)), round(16 * float(y))), 48, (255, 255, 255), -1, cv2.LINE_AA, 4)
    cv2.imwrite(str(tmp_path / "dots.png"), dots)
    plain = DEFAULT._replace(blur=0, noise=0, occluder=0, contrast=0, brightness=0, saturation=0, tint=0)
    loader = Loader(one._replace(paths=np.array([str(tmp_path / "dots.png")])), 160, augmentation=plain)
    for place in range(20):
        image, keypoints, _, labelled, _ = loader(0, place)
        clear = [joint for joint in np.flatnonzero(labelled)
                 if (np.linalg.norm(keypoints - keypoints[joint], axis=1) < 14).sum() == 1
                 and geometry.inside(keypoints[joint] - 8, 144, 144)]
        for joint in clear:
            x, y = np.round(keypoints[joint]).astype(int)
            window = image[y - 6:y + 7, x - 6:x + 7, 0].astype(float)
            rows, columns = np.mgrid[y - 6:y + 7, x - 6:x + 7]
            centre = np.array([(columns * window).sum(), (rows * window).sum()]) / window.sum()
            np.testing.assert_allclose(centre, keypoints[joint], atol=0.1)
        assert clear


def test_in_right_mode_left_hands_are_mirrored_and_right_ones_are_not(labels):
    left, right = np.flatnonzero(labels.is_left == 1)[0], np.flatnonzero(labels.is_left == 0)[0]
    loader = Loader(labels, 64, hands="right")
    np.testing.assert_array_equal(loader(left, 0)[0], images.read(labels.paths[left])[:, ::-1])
    np.testing.assert_allclose(loader(left, 0)[1][:, 0], 63 - labels.keypoints[left][:, 0], atol=1e-4)
    np.testing.assert_array_equal(loader(right, 0)[0], images.read(labels.paths[right]))


def test_augmentation_mirrors_about_half_of_the_pictures(labels):
    loader = Loader(labels, 64, augmentation=DEFAULT)
    mirrored = [np.linalg.det(loader.matrix(np.random.default_rng(place), 0)[:, :2]) < 0 for place in range(400)]
    assert 0.4 < np.mean(mirrored) < 0.6


def test_an_unannotated_joint_is_neither_drawn_nor_supervised(labels):
    visible = labels.visible.copy()
    visible[0, 7] = False
    keypoints = labels.keypoints.copy()
    keypoints[0, 7] = np.nan
    _, moved, supervised, labelled, _ = Loader(labels._replace(visible=visible, keypoints=keypoints), 64)(0, 0)
    assert not supervised[7] and not labelled[7] and supervised.sum() == 20 and np.isfinite(moved).all()


def test_a_joint_pushed_out_of_the_picture_is_supervised_but_not_drawn(labels):
    boxes = labels.boxes.copy()
    boxes[0] = geometry.square_box(labels.keypoints[0, 0] + 200, 64)
    _, _, supervised, labelled, _ = Loader(labels._replace(boxes=boxes), 64)(0, 0)
    assert supervised.all() and not labelled.any()


def test_a_picture_without_a_hand_is_supervised_with_empty_maps(labels):
    has_hand = labels.has_hand.copy()
    has_hand[0] = False
    none = labels._replace(has_hand=has_hand, visible=labels.visible & has_hand[:, None])
    batch = take(evaluation_batches(Loader(none, 64), TARGET, batch_size=1), 1)[0]
    assert batch.supervised.all() and not batch.labelled.any()
    assert (batch.targets[..., :21] == 0).all() and (batch.targets[..., 21] == 1).all()


# ---- batches

def test_a_resumed_pipeline_gives_the_batches_of_an_uninterrupted_one(labels):
    def batches(first_step, count):
        return take(training_batches(Loader(labels, 64, augmentation=DEFAULT), Mixture([40]), TARGET, batch_size=6,
                                     first_step=first_step), count)
    for one, other in zip(batches(0, 12)[9:], batches(9, 3)):
        tf.nest.map_structure(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("workers, replicas", [(2, 1), (1, 2), (3, 2)])
def test_workers_and_replicas_together_read_the_batches_of_one(labels, workers, replicas):
    def stream(shard, count):
        return take(training_batches(Loader(labels, 64, augmentation=DEFAULT), Mixture([40]), TARGET, batch_size=6,
                                     first_step=0, shard=shard), count)
    alone = stream((0, 1, 1), 4)
    shards = [stream((worker, workers, replicas), 4 * replicas) for worker in range(workers)]
    for step in range(4):
        parts = [batch for shard in shards for batch in shard[step * replicas:(step + 1) * replicas]]
        np.testing.assert_array_equal(np.concatenate([part.images for part in parts]), alone[step].images)
        np.testing.assert_allclose(np.concatenate([part.targets for part in parts]), alone[step].targets, atol=1e-6)


def test_targets_are_those_that_encode_gives_outside_the_pipeline(labels):
    batch = take(training_batches(Loader(labels, 64, augmentation=DEFAULT), Mixture([40]), TARGET, batch_size=8,
                                  first_step=0), 1)[0]
    expected = TARGET.encode(batch.keypoints, batch.labelled, 64).numpy()
    np.testing.assert_allclose(batch.targets, expected, atol=1e-6)
    assert batch.images.dtype == np.uint8 and batch.images.shape == (8, 64, 64, 3)


def test_evaluation_drops_no_example_and_keeps_the_order(labels):
    batches = take(evaluation_batches(Loader(labels, 64), TARGET, batch_size=16), 9)
    assert [len(batch.images) for batch in batches] == [16, 16, 8]
    np.testing.assert_allclose(np.concatenate([batch.keypoints for batch in batches]), labels.keypoints, atol=1e-5)


def test_a_bad_picture_stops_the_pipeline_and_is_kept_with_its_name(labels, tmp_path):
    paths = labels.paths.astype(object).copy()
    paths[2] = tmp_path / "broken.jpg"
    paths[2].write_bytes(b"\xff\xd8 not a picture")
    loader = Loader(labels._replace(paths=paths), 64)
    with pytest.raises(tf.errors.OpError):
        take(evaluation_batches(loader, TARGET, batch_size=4), 3)
    assert isinstance(loader.failure, images.BadImage) and "broken.jpg" in str(loader.failure)


def test_a_bad_picture_that_is_skipped_trains_nothing_and_is_listed(labels, tmp_path):
    paths = labels.paths.astype(object).copy()
    paths[2] = tmp_path / "gone.jpg"
    loader = Loader(labels._replace(paths=paths), 64, skip_bad=True)
    batch = take(evaluation_batches(loader, TARGET, batch_size=4), 1)[0]
    assert not batch.supervised[2].any() and batch.supervised[[0, 1, 3]].all()
    assert list(loader.bad) == [str(tmp_path / "gone.jpg")] and "no such image file" in loader.bad[str(paths[2])]
