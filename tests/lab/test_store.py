"""Records on disk: round trips, damage, foreign files, and what a writer leaves behind."""

import errno
import hashlib
import os
import socket
import time

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from attnflow._files import HEADER_SIZE, FileSystem, is_whole, sealed
from attnflow.errors import ConfigError, DataError, ResultFileError, SchemaError
from attnflow.lab import store as store_module
from attnflow.lab.store import Record, Store, check_arrays, from_bytes, to_bytes
from attnflow.lab.study import Task


def task(size=8, **changes):
    fields = {"study": "toy", "case": {"n": size, "p": 0.1}, "seeds": range(3), "master_seed": 0, "source": "abc"}
    return Task(**{**fields, **changes})


def record(size=8, **changes):
    values = np.random.default_rng(size).normal(size=(3, size))
    fields = {
        "task": task(size),
        "arrays": {"error": values[:, 0], "field": values, "ok": values[:, 0] > 0, "error.ess": np.arange(3)},
        "provenance": {"seconds": 0.5, "code": "123"},
    }
    return Record(**{**fields, **changes})


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "out")
    made.prepare()
    return made


def assert_equal(found, expected):
    assert found.task.identity == expected.task.identity
    assert set(found.arrays) == set(expected.arrays)
    for name, array in expected.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)
    assert found.payload_sha256 == expected.payload_sha256
    assert (dict(found.provenance), found.failed) == (dict(expected.provenance), expected.failed)


def test_a_record_is_read_as_it_was_written(store):
    store.save(record())
    assert_equal(store.find(task()), record())
    assert store.find(task(9)) is None


def test_a_failed_record_keeps_its_reason(store):
    store.save(record(arrays={}, failed="the sampler <gave> up: café"))
    assert_equal(store.find(task()), record(arrays={}, failed="the sampler <gave> up: café"))


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(
        dtype=st.sampled_from([np.float64, np.int64, np.bool_]),
        shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
    )
)
def test_any_array_of_numbers_survives_the_round_trip(array):
    whole = record(arrays={"x": array})
    found = from_bytes(to_bytes(whole), path=None)
    assert found.arrays["x"].tobytes() == array.tobytes()  # bytes, because NaN is not equal to itself
    assert found.arrays["x"].shape == array.shape


def test_equal_measurements_have_equal_payload_digests_whatever_their_provenance():
    assert record(provenance={"seconds": 9.0}).payload_sha256 == record().payload_sha256


def test_the_payload_digest_sees_names_types_shapes_and_values():
    base = {"a": np.arange(6.0)}
    others = [{"b": np.arange(6.0)}, {"a": np.arange(6)}, {"a": np.arange(6.0).reshape(2, 3)}, {"a": np.arange(1.0, 7)}]
    digests = {record(arrays=arrays).payload_sha256 for arrays in [base, *others]}
    assert len(digests) == 5


def test_a_record_file_is_hdf5_for_every_reader(store):
    path = store.save(record())
    with h5py.File(path, "r") as file:
        np.testing.assert_array_equal(file["payload/field"][()], record().arrays["field"])
        assert file["payload/field"].fletcher32
        assert file["payload"].attrs["sha256"] == record().payload_sha256


def test_a_record_names_no_host_and_no_user_folder(store):
    assert socket.gethostname().encode() not in store.save(record()).read_bytes()


def test_every_flipped_bit_of_a_file_is_detected():
    data = to_bytes(record(size=2))
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        assert not is_whole(bytes(damaged)), position


@pytest.mark.parametrize("length", [0, 10, HEADER_SIZE, HEADER_SIZE + 1, 5000, -1])
def test_a_truncated_or_empty_file_is_set_aside_and_counts_as_missing(store, length):
    path = store.save(record())
    path.write_bytes(path.read_bytes()[:length])
    assert store.find(task()) is None
    assert store.bad_files() == [path.with_suffix(".bad")]
    store.save(record())
    assert_equal(store.find(task()), record())


def test_a_foreign_file_is_set_aside_and_never_parsed(store):
    path = store.save(record())
    with h5py.File(path, "w") as file:
        file["payload/error"] = h5py.ExternalLink("/etc/passwd", "/")
    assert store.find(task()) is None
    assert len(store.bad_files()) == 1


def test_a_flipped_bit_on_the_disk_is_detected_and_the_other_records_stay(store):
    path = store.save(record())
    store.save(record(9))
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    assert store.find(task()) is None
    assert_equal(store.find(task(9)), record(9))


@pytest.mark.parametrize("schema", [0, 2, 17])
def test_a_record_of_another_schema_is_an_error_and_stays_where_it_is(store, monkeypatch, schema):
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "SCHEMA", schema)
        path = store.save(record())
    with pytest.raises(SchemaError, match=f"schema {schema}.*Update attnflow" if schema else "no record of attnflow"):
        store.find(task())
    assert path.exists()


def test_a_record_under_the_name_of_another_is_an_error(store):
    path = store.save(record())
    path.rename(store.path(task(9)))
    with pytest.raises(ResultFileError, match="another record than its name says"):
        store.find(task(9))


def craft(edit):
    """A file with a right header, whose HDF5 content was edited."""
    import io

    buffer = io.BytesIO(to_bytes(record()))
    with h5py.File(buffer, "r+") as file:
        edit(file)
    body = buffer.getvalue()[HEADER_SIZE:]
    return sealed(body)


def link_outside(file):
    file["payload/outside"] = h5py.ExternalLink("/etc/passwd", "/")


def link_inside(file):
    file["payload/again"] = h5py.SoftLink("/payload/error")


def hold_text(file):
    file["payload/text"] = ["a", "b", "c"]


def hold_external_bytes(file):
    file["payload"].create_dataset("raw", shape=(4,), dtype="u1", external=[("/etc/passwd", 0, 4)])


@pytest.mark.parametrize("edit", [link_outside, link_inside, hold_text, hold_external_bytes])
def test_links_objects_and_external_bytes_are_refused_even_with_a_right_checksum(store, edit):
    store.save(record())
    store.path(task()).write_bytes(craft(edit))
    with pytest.raises(ResultFileError, match="Records hold neither"):
        store.find(task())


def test_a_payload_that_was_edited_under_a_right_checksum_is_refused(store):
    def edit(file):
        file["payload/error"][0] = 1.0

    store.save(record())
    store.path(task()).write_bytes(craft(edit))
    with pytest.raises(ResultFileError, match="sha256 it declares"):
        store.find(task())


@pytest.mark.parametrize(
    "arrays",
    [
        None,
        {},
        [1.0],
        {"error": np.array([None] * 3)},
        {"error": np.array(["a", "b", "c"])},
        {"error": np.ones(3) * 1j},
        {"error": np.float64(1.0)},
        {"error": np.ones(2)},
        {"a/b": np.ones(3)},
        {"..": np.ones(3)},
        {3: np.ones(3)},
    ],
    ids=str,
)
def test_what_is_no_array_of_numbers_with_one_row_per_seed_is_refused(arrays):
    with pytest.raises(DataError):
        check_arrays(arrays, rows=3)


def test_an_output_folder_whose_parent_is_missing_is_refused_before_computing(tmp_path):
    with pytest.raises(ConfigError, match=r"`--out` is .*missing.*Create it"):
        Store(tmp_path / "missing" / "out").prepare()
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("call", ["make_folder", "open"])
def test_an_output_folder_that_is_read_only_is_refused_before_computing(tmp_path, call):
    class ReadOnly(FileSystem):
        pass

    def refuse(self, path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    setattr(ReadOnly, call, refuse)  # permission bits would not stop root
    with pytest.raises(ConfigError, match="nothing can be written: Read-only file system"):
        Store(tmp_path / "out", filesystem=ReadOnly()).prepare()


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ConfigError, match="nothing can be written"):
        Store(tmp_path / "out").prepare()
    assert (tmp_path / "out").read_text() == "mine"


class FullDisk(FileSystem):
    """A disk that takes a few bytes and then no more."""

    def write(self, descriptor, data):
        if len(data) <= 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(descriptor, data[:1000])


def test_a_full_disk_leaves_earlier_records_and_no_temporary_file(store):
    store.save(record())
    before = store.path(task()).read_bytes()
    full = Store(store.folder, filesystem=FullDisk())
    for size in (8, 9):  # 8 would replace an earlier record
        with pytest.raises(ResultFileError, match=r"No space left on device.*it resumes"):
            full.save(record(size))
    assert [path.name for path in store.path(task()).parent.iterdir()] == [store.path(task()).name]
    assert store.path(task()).read_bytes() == before
    store.save(record(9))
    assert_equal(store.find(task(9)), record(9))


def test_a_disk_that_writes_a_few_bytes_at_a_time_gets_the_whole_record(tmp_path):
    class Slow(FileSystem):
        def write(self, descriptor, data):
            return super().write(descriptor, data[:777])

    slow = Store(tmp_path, filesystem=Slow())
    slow.prepare()
    slow.save(record())
    assert_equal(slow.find(task()), record())


def test_stale_temporary_files_are_swept_after_a_check_of_pid_host_and_age(store):
    folder = store.save(record()).parent
    here = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
    dead = 2**22 + 1  # above the largest pid that Linux gives
    names = {
        f".x.h5.{dead}.{here}.1.tmp": False,  # its writer is gone
        f".x.h5.{os.getpid()}.{here}.1.tmp": True,  # its writer lives
        f".x.h5.{dead}.0ther0st.1.tmp": True,  # nobody here can know: only age tells
        f".x.h5.{dead}.0ther0st.2.tmp": False,  # older than any writer
        f".x.h5.{os.getpid()}.{here}.2.tmp": False,  # the pid was given again
        ".mine.tmp": True,  # not written by attnflow
    }
    for name in names:
        (folder / name).write_text("half")
        if name.endswith(".2.tmp"):
            os.utime(folder / name, times=(time.time() - 7200,) * 2)
    store.prepare()
    assert {name: (folder / name).exists() for name in names} == names
    assert_equal(store.find(task()), record())


def test_a_store_that_was_never_written_is_empty(tmp_path):
    unused = Store(tmp_path / "out")
    assert unused.find(task()) is None
    assert unused.bad_files() == []
    assert not unused.folder.exists()
