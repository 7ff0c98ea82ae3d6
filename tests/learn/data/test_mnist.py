"""MNIST from its files: the bytes of the format by hand, and every way in which they can be wrong."""

import gzip
import struct

import jax
import numpy as np
import pytest

from attnflow.errors import ConfigError, DataError
from attnflow.learn.data.digits import mnist
from attnflow.learn.data.files import find, read_text
from attnflow.learn.data.idx import read_idx

KEY = jax.random.key(0)
RNG = np.random.default_rng(4)
SIZES = {"train": 7, "t10k": 5}


def idx(array, *, kind=8):
    return struct.pack(">HBB", 0, kind, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    """Images whose first pixel tells their number, so that what belongs together can be told."""
    for part, count in SIZES.items():
        images = RNG.integers(0, 256, size=(count, 3, 2), dtype=np.uint8)
        images[:, 0, 0] = 10 * np.arange(count)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(count, dtype=np.uint8)))
    return tmp_path


def test_images_keep_their_labels_and_those_for_testing_are_the_other_file(folder):
    data = mnist(folder, key=KEY, count=4, test=5)
    assert data.tokens.shape == (1, 9, 6)
    np.testing.assert_allclose(data.tokens[0, :, 0], 10 * data.labels[0] / 255, rtol=1e-15)
    np.testing.assert_array_equal(data.labels[data.test], np.arange(5))
    assert len(set(data.labels[data.train].tolist())) == 4


def test_compressed_files_are_the_same_files(folder):
    plain = mnist(folder, key=KEY, count=4, test=5)
    for path in list(folder.iterdir()):
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    np.testing.assert_array_equal(mnist(folder, key=KEY, count=4, test=5).tokens, plain.tokens)


@pytest.mark.parametrize(("kind", "dtype"), [(8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")])
def test_every_type_of_numbers_is_read_big_endian(tmp_path, kind, dtype):
    array = np.array([[1, 2, 3], [100, -5 if dtype != "u1" else 5, 127]]).astype(dtype)
    (tmp_path / "some").write_bytes(idx(array, kind=kind))
    found = read_idx(tmp_path / "some", dims=2)
    np.testing.assert_array_equal(found, array)
    assert found.dtype.isnative


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (IMAGES, lambda old: old[:-1], r"idx3-ubyte: expected 42 bytes of 7 x 3 x 2 numbers, found 41: it is cut"),
        (IMAGES, lambda old: old + b"1", "expected 42 bytes of 7 x 3 x 2 numbers, found 43: it is too long"),
        (IMAGES, lambda old: old[:9], "expected 3 sizes in 16 bytes, found 9 bytes in all"),
        (IMAGES, lambda old: old[:3], "expected 4 bytes of magic number, found 3 bytes in all"),
        (IMAGES, lambda old: b"\x00\x00\x07" + old[3:], "magic number .* such as 2051 of bytes, found 1795"),
        (LABELS, lambda old: idx(np.zeros((7, 1), dtype=np.uint8)), "dimensions, such as 2049 of bytes, found 2050"),
        (LABELS, lambda old: b"<html>not here</html>", "idx1-ubyte: expected the magic number.*found 1013478509"),
        (LABELS, lambda old: idx(np.arange(6, dtype=np.uint8)), "holds 7 images and .*idx1-ubyte 6 labels"),
        (LABELS, lambda old: idx(np.arange(5, 12, dtype=np.uint8)), "label 5 is 10; digits are 0 to 9"),
        (IMAGES, lambda old: idx(np.zeros((0, 3, 2), dtype=np.uint8)), "expected numbers, found an array of sizes 0"),
        (IMAGES, lambda old: idx(np.zeros((7, 3, 3), dtype=np.uint8)), "have 9 pixels for training, 6 for testing"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_named_with_what_was_expected_and_found(folder, name, change, words):
    path = folder / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=words):
        mnist(folder, key=KEY, count=3, test=3)


def test_a_compressed_file_that_is_cut_short_is_named(folder):
    path = folder / IMAGES
    whole = gzip.compress(path.read_bytes())
    path.unlink()
    (folder / f"{IMAGES}.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"images-idx3-ubyte\.gz cannot be read: EOFError"):
        mnist(folder, key=KEY, count=3, test=3)
    (folder / f"{IMAGES}.gz").write_bytes(b"plain")
    with pytest.raises(DataError, match="cannot be read: BadGzipFile"):
        mnist(folder, key=KEY, count=3, test=3)


def test_a_file_that_is_missing_is_named_with_what_is_there(folder):
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"no file t10k-labels-idx1-ubyte, plain or \.gz; it holds t10k-images.*train-"):
        mnist(folder, key=KEY, count=3, test=3)
    with pytest.raises(DataError, match="nowhere is no folder: train-images-idx3-ubyte was looked for there"):
        mnist(folder / "nowhere", key=KEY)


def test_more_than_there_are_is_refused(folder):
    with pytest.raises(ConfigError, match="`count` must be at most 7, all there are, got 8"):
        mnist(folder, key=KEY, count=8, test=3)
    with pytest.raises(ConfigError, match="`test` must be an integer of at least 1, got 0"):
        mnist(folder, key=KEY, count=3, test=0)


def test_a_folder_of_many_files_is_not_listed_whole_and_bytes_are_no_text(tmp_path):
    for i in range(14):
        (tmp_path / f"file{i:02}").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="file09 and 4 more"):
        find(tmp_path, "other")
    with pytest.raises(DataError, match="file00 is not text in UTF-8"):
        read_text(tmp_path / "file00")
