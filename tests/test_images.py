"""Picture files of every kind that people have, broken ones among them, and where `warp` puts a dot."""

import os
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from cpm_hand import geometry, images

QUARTERS = np.zeros((32, 48, 3), np.uint8)  # red, green / blue, white
QUARTERS[:16, :24], QUARTERS[:16, 24:] = (255, 0, 0), (0, 255, 0)
QUARTERS[16:, :24], QUARTERS[16:, 24:] = (0, 0, 255), (255, 255, 255)


def save(path, image=QUARTERS, mode=None, **options):
    picture = Image.fromarray(image)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def corners(image):
    """Colours of the four quarters, away from where a JPEG blurs them: 4 x RGB."""
    height, width = image.shape[:2]
    return np.array([image[row, column] for row in (height // 4, 3 * height // 4)
                     for column in (width // 4, 3 * width // 4)], int)


def assert_quarters(image, tolerance=0):
    assert image.dtype == np.uint8 and image.shape == (32, 48, 3)
    np.testing.assert_allclose(corners(image), corners(QUARTERS), atol=tolerance)


# Reading

def test_a_png_is_read_as_it_stands_red_first(tmp_path):
    np.testing.assert_array_equal(images.read(save(tmp_path / "a.png")), QUARTERS)


@pytest.mark.parametrize("name, mode, tolerance", [
    ("a.jpg", None, 6), ("a.png", "RGBA", 0), ("a.png", "P", 0), ("a.jpg", "CMYK", 6), ("a.bmp", None, 0)])
def test_colour_pictures_of_all_kinds_come_as_rgb(tmp_path, name, mode, tolerance):
    assert_quarters(images.read(save(tmp_path / name, mode=mode)), tolerance)


def test_a_grey_picture_gets_three_equal_channels(tmp_path):
    image = images.read(save(tmp_path / "a.png", np.arange(48, dtype=np.uint8).reshape(6, 8)))
    np.testing.assert_array_equal(image, np.arange(48).reshape(6, 8, 1).repeat(3, 2))


def test_sixteen_bits_become_the_upper_eight(tmp_path):
    values = np.array([[0, 256, 32768, 65535]], np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), values)
    assert images.read(tmp_path / "a.png")[0, :, 0].tolist() == [0, 1, 128, 255]


def with_orientation(path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(path, exif=exif, quality=95)


def test_training_reads_the_stored_pixels_whatever_exif_says(tmp_path):
    path = with_orientation(tmp_path / "a.jpg", 6)
    assert_quarters(images.read(path), 6)
    assert images.read_size(path) == (48, 32)


def test_exif_orientation_is_honoured_when_asked(tmp_path):
    clockwise = 6
    image = images.read(with_orientation(tmp_path / "a.jpg", clockwise), honour_exif=True)
    assert image.shape == (48, 32, 3)
    np.testing.assert_allclose(corners(image), corners(np.rot90(QUARTERS, -1)), atol=6)


def test_the_size_is_width_then_height(tmp_path):
    assert images.read_size(save(tmp_path / "a.png")) == (48, 32)


# Broken files

@pytest.mark.parametrize("reader", [images.read, images.read_size])
@pytest.mark.parametrize("content, said", [
    (None, "no such image file"), (b"", "the file is empty; expected a JPEG or PNG"),
    (b"<html>404</html>", r"not an image \(16 bytes\)"), (b"\x89PNG\r\n\x1a\n IEND", "."),
])
def test_what_is_no_picture_is_named(tmp_path, reader, content, said):
    if content is not None:
        (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(images.BadImage, match=f"a.jpg: {said}"):
        reader(tmp_path / "a.jpg")


@pytest.mark.parametrize("reader", [images.read, images.read_size])
def test_a_folder_is_no_picture(tmp_path, reader):
    with pytest.raises(images.BadImage, match="cannot be read"):
        reader(tmp_path)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.999])
def test_a_picture_that_is_cut_short_is_refused(tmp_path, name, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = save(tmp_path / name, noise).read_bytes()
    (tmp_path / name).write_bytes(data[:min(int(len(data) * share), len(data) - 9)])
    with pytest.raises(images.BadImage, match=rf"{name}: the picture is cut short after \d+ bytes"):
        images.read(tmp_path / name)


def test_the_preview_inside_a_jpeg_does_not_hide_that_it_is_cut_short(tmp_path):
    path = save(tmp_path / "a.jpg")
    whole, small = path.read_bytes(), save(tmp_path / "b.jpg", QUARTERS[::2, ::2]).read_bytes()
    segment = b"\xff\xe2" + (len(small) + 2).to_bytes(2, "big") + small  # application data, after the start
    path.write_bytes(whole[:2] + segment + whole[2:])
    assert_quarters(images.read(path), 6)
    path.write_bytes((whole[:2] + segment + whole[2:])[:-20])
    with pytest.raises(images.BadImage, match="cut short"):
        images.read(path)


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(tmp_path):
    path = save(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + b"\0" * 100)
    assert_quarters(images.read(path), 6)


@pytest.mark.parametrize("seed", range(10))
def test_what_a_telephone_appends_to_a_jpeg_does_no_harm(tmp_path, seed):
    """A film, which holds every pair of bytes; so many of them that a start of scan is certain to be among them."""
    path, film = save(tmp_path / "a.jpg"), np.random.default_rng(seed).bytes(1_000_000)
    assert b"\xff\xda" in film
    path.write_bytes(path.read_bytes() + film)
    assert_quarters(images.read(path), 6)


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_rows": 1}, {"optimize": True}])
def test_jpegs_of_several_scans_and_with_restarts_are_whole_to_their_end(tmp_path, options):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    path = tmp_path / "a.jpg"
    noise.save(path, quality=95, **options)
    assert images.read(path).shape == (64, 64, 3)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(images.BadImage, match="cut short"):
        images.read(path)


def test_a_kind_of_picture_that_is_not_read_is_told_from_one_that_is_broken(tmp_path):
    size, mask = (64).to_bytes(4, "little"), (0x1007).to_bytes(4, "little")
    header = b"DDS " + (124).to_bytes(4, "little") + mask + size + size + bytes(52) + (32).to_bytes(4, "little")
    (tmp_path / "a.jpg").write_bytes(header + bytes(200))  # Pillow knows such files, and not what is in this one
    with pytest.raises(images.BadImage, match=r"a\.jpg: not an image \(\d+ bytes\); expected a JPEG or PNG picture"):
        images.read(tmp_path / "a.jpg")


def png_header(width, height):
    """The first bytes of a PNG of that size, to its end marker; without any pixels."""
    def chunk(kind, content):
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
    sizes = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", sizes + b"\x08\x02\0\0\0") + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("width, height", [(16_320, 12_240), (100_000, 100_000), (178_956_971, 1)])
@pytest.mark.parametrize("pillows_limit", [True, False])
def test_an_absurdly_large_picture_is_refused_from_its_header(tmp_path, monkeypatch, width, height, pillows_limit):
    (tmp_path / "a.png").write_bytes(png_header(width, height))
    said = rf"Image size \({width * height} pixels\) exceeds limit of 178956970 pixels, .* Scale"
    if not pillows_limit:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
        said = f"{width} x {height} pixels are more than the 178956970 allowed; scale"
    with pytest.raises(images.BadImage, match=rf"a\.png: {said} the picture down"):
        images.read(tmp_path / "a.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_as_large_as_telephones_make_them_is_none_of_those(tmp_path):
    (tmp_path / "a.png").write_bytes(png_header(12_000, 9_000))
    assert images.read_size(tmp_path / "a.png") == (12_000, 9_000)


# Writing

def test_what_is_written_is_read_back(tmp_path):
    images.write(tmp_path / "new" / "a.png", QUARTERS)
    np.testing.assert_array_equal(images.read(tmp_path / "new" / "a.png"), QUARTERS)


@pytest.mark.parametrize("name, image", [("a.xyz", QUARTERS), ("a", QUARTERS), ("a.png", QUARTERS[:0])])
def test_what_cannot_be_encoded_is_refused(tmp_path, name, image):
    with pytest.raises(ValueError, match=f"{name}: cannot encode a picture of shape"):
        images.write(tmp_path / name, image)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    images.write(tmp_path / "a.png", QUARTERS)

    def disk_is_full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_is_full)
    with pytest.raises(OSError, match="No space left"):
        images.write(tmp_path / "a.png", QUARTERS[::-1])
    assert os.listdir(tmp_path) == ["a.png"]
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), QUARTERS)


def test_others_may_read_what_is_written(tmp_path):
    images.write(tmp_path / "a.png", QUARTERS)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o644


def test_a_link_stays_one_and_a_pipe_is_written_to(tmp_path):
    os.symlink("real.txt", tmp_path / "link.txt")
    for text in (b"new", b"newer"):
        images.write_bytes(tmp_path / "link.txt", text)
        assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real.txt").read_bytes() == text
    os.mkfifo(tmp_path / "pipe")                                       # as /dev/stdout is one, or a device
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    images.write_bytes(tmp_path / "pipe", b"through it")
    assert os.read(reader, 99) == b"through it" and (tmp_path / "pipe").is_fifo()
    os.close(reader)


def test_a_pipe_without_a_name_is_written_to(tmp_path):
    reader, writer = os.pipe()                                         # as /dev/stdout is before a | of the shell
    images.write_bytes(f"/dev/fd/{writer}", b"through it")
    assert os.read(reader, 99) == b"through it"
    os.close(reader)
    os.close(writer)


# Warping

def dot_at(x, y, size):
    """A soft dot on black; bilinear sampling and averaging keep its centre."""
    rows, columns = np.indices((size, size))
    value = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 6.0**2))
    return np.uint8(np.round(value))[..., None].repeat(3, 2)


def centre_of(image):
    grey = image[..., 0].astype(float)
    grey[grey < 4] = 0
    rows, columns = np.indices(grey.shape)
    return np.array([(columns * grey).sum(), (rows * grey).sum()]) / grey.sum()


@pytest.mark.parametrize("shrink", [0.5, 1.0, 1.9, 2.0, 3.0, 3.7, 5.0])
def test_a_dot_lands_where_geometry_says_however_much_the_picture_shrinks(shrink):
    matrix = geometry.crop_matrix((20, 30, 300, 300), round(300 / shrink))
    moved = images.warp(dot_at(151, 170, 350), matrix, round(300 / shrink))
    expected = geometry.apply(matrix, np.array([[151.0, 170.0]]))[0]
    np.testing.assert_allclose(centre_of(moved), expected, atol=0.1)


@pytest.mark.parametrize("shrink", [7.9, 8.0, 12.3, 14.0, 20.5, 33.0])
@pytest.mark.parametrize("corner", [(-40, -70), (100, 130)])
def test_a_blob_in_a_large_picture_lands_there_too_though_not_every_row_is_read(shrink, corner):
    rows, columns = np.indices((1501, 1613))
    blob = 255 * np.exp(-((columns - 751.3) ** 2 + (rows - 690.8) ** 2) / (2 * 60.0**2))
    matrix = geometry.crop_matrix((*corner, 1300, 1300), round(1300 / shrink))
    moved, border = (images.warp(np.uint8(picture)[..., None].repeat(3, 2), matrix, round(1300 / shrink)).astype(int)
                     for picture in (blob, 0 * blob))
    expected = geometry.apply(matrix, np.array([[751.3, 690.8]]))[0]
    np.testing.assert_allclose(centre_of(moved - border), expected, atol=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (5, 40)])
def test_thin_pictures_can_be_shrunk_as_much_as_one_likes(shape):
    image = np.full((*shape, 3), 7, np.uint8)
    for shrink in (2, 9, 50, 1000):
        matrix = geometry.crop_matrix(geometry.whole_picture_box(*shape[::-1]), max(max(shape) // shrink, 1))
        assert images.warp(image, matrix, max(max(shape) // shrink, 1)).min() >= 7


@pytest.mark.parametrize("shape, centre", [((60, 40_000), (35_000, 20)), ((40_000, 60), (20, 35_000))])
@pytest.mark.parametrize("angle", [0, 0.7])
def test_a_small_part_of_a_picture_longer_than_opencv_takes_is_that_part(shape, centre, angle):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.hstack([turn, 16 - turn @ np.reshape(centre, (2, 1))])
    x, y = np.maximum(np.array(centre) - 100, 0)
    part = image[y:y + 200, x:x + 200]
    expected = images.warp(part, np.hstack([turn, matrix[:, 2:] + turn @ [[x], [y]]]), 32)
    assert np.abs(images.warp(image, matrix, 32).astype(int) - expected).max() <= 1 and expected.std() > 20


def test_a_picture_longer_than_opencv_takes_can_be_shrunk_and_lies_beside_an_input_too():
    image = np.full((400, 40_000, 3), 7, np.uint8)
    assert (images.warp(image, geometry.crop_matrix((0, -19_800, 40_000, 40_000), 640), 640)[320] == 7).all()
    for corner in ((50_000, 0), (-500, 0), (0, 500)):
        assert (images.warp(image, geometry.crop_matrix((*corner, 32, 32), 32), 32) == images.BORDER).all()


def test_a_picture_of_the_inputs_size_is_left_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    np.testing.assert_array_equal(images.warp(image, geometry.crop_matrix((0, 0, 64, 64), 64), 64), image)


def test_outside_the_picture_lies_the_border_colour():
    crop = images.warp(QUARTERS, geometry.crop_matrix((-100, -100, 50, 50), 20), 20)
    assert (crop == images.BORDER).all()


def test_shrinking_averages_and_does_not_pick_single_pixels():
    checks = np.indices((120, 120)).sum(0) % 2 * 255
    image = np.uint8(checks)[..., None].repeat(3, 2)
    small = images.warp(image, geometry.crop_matrix((0, 0, 120, 120), 30), 30)
    np.testing.assert_allclose(small[2:-2, 2:-2], 127.5, atol=1)
