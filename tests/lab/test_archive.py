"""An archive is read as it was written, or refused by a message that names what is wrong."""

import hashlib
import io
import json
import zipfile

import pytest

from attnflow.errors import ResultFileError, SchemaError
from attnflow.lab import archive
from attnflow.lab.archive import COMMENT, MANIFEST, read_archive, write_archive

FILES = {"page.html": b"<p>page</p>", "records/toy/a.h5": bytes(range(64)), "studies/toy/study.py": b""}


@pytest.fixture
def whole(tmp_path):
    path = tmp_path / "bundle.zip"
    write_archive(path, FILES, manifest={"seed": 7})
    return path


def signed(body):
    """The bytes of a ZIP file, whose comment is right, whatever it holds."""
    with zipfile.ZipFile(body, "a") as opened:
        opened.comment = COMMENT + b"0" * 64
    head = body.getvalue()[: -64 - len(COMMENT)]
    return head + COMMENT + hashlib.sha256(head).hexdigest().encode()


def made(entries, *, compression=zipfile.ZIP_DEFLATED):
    """A foreign archive, whose manifest and comment are right."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in entries}
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", compression) as opened:
        opened.writestr(MANIFEST, json.dumps({"schema": 1, "files": digests}))
        for name, data in entries:
            opened.writestr(name, data)
    return signed(body)


def test_what_was_written_is_read(whole):
    manifest, files = read_archive(whole)
    assert files == FILES
    assert manifest["seed"] == 7


def test_equal_files_give_equal_bytes_in_any_order(whole, tmp_path):
    write_archive(tmp_path / "other.zip", dict(reversed(FILES.items())), manifest={"seed": 7})
    assert (tmp_path / "other.zip").read_bytes() == whole.read_bytes()


def test_one_altered_bit_anywhere_is_refused(whole, tmp_path):
    data = whole.read_bytes()
    altered = tmp_path / "altered.zip"
    for place in range(len(data)):
        altered.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        with pytest.raises(ResultFileError, match=r"altered\.zip"):
            read_archive(altered)


@pytest.mark.parametrize("cut", [1, 40, 200, 10_000])
def test_a_truncated_archive_is_refused(whole, cut):
    whole.write_bytes(whole.read_bytes()[:-cut])
    with pytest.raises(ResultFileError, match="not as it was written"):
        read_archive(whole)


def test_what_follows_or_precedes_is_refused(whole):
    data = whole.read_bytes()
    for longer in (data + b"\0", b"\0" + data):
        whole.write_bytes(longer)
        with pytest.raises(ResultFileError, match="not as it was written"):
            read_archive(whole)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_that_differs_from_the_manifest_is_named(tmp_path, name):
    path = tmp_path / "a.zip"
    write_archive(path, FILES, manifest={})
    with zipfile.ZipFile(path) as opened:
        manifest = opened.read(MANIFEST)
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(MANIFEST, manifest)
        for each, data in FILES.items():
            opened.writestr(each, data + b"!" * (each == name))
    path.write_bytes(signed(body))
    with pytest.raises(ResultFileError, match=name):
        read_archive(path)


def test_a_file_too_many_or_too_few_is_named(tmp_path):
    path = tmp_path / "a.zip"
    for digests, held in (({}, ["a"]), ({"a": hashlib.sha256(b"").hexdigest()}, [])):
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as opened:
            opened.writestr(MANIFEST, json.dumps({"schema": 1, "files": digests}))
            for name in held:
                opened.writestr(name, b"")
        path.write_bytes(signed(body))
        with pytest.raises(ResultFileError, match=r"a\.zip: a is"):
            read_archive(path)


@pytest.mark.parametrize(
    "name", ["../a", "/a", "a/../../b", "a//b", "C:\\a", "a\\b", ".hidden", "a/.ssh", "a b", "ä", "a/", "a..b"]
)
def test_a_name_that_leads_out_of_the_archive_is_refused(tmp_path, name):
    path = tmp_path / "a.zip"
    path.write_bytes(made([(name, b"x")]))
    with pytest.raises(ResultFileError, match="leads out of the archive"):
        read_archive(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(made([("a", b"x"), ("a", b"x")]))
    with pytest.raises(ResultFileError, match="stands there twice"):
        read_archive(path)


def test_what_is_too_large_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    path.write_bytes(made([("zeros", bytes(10**6))]))  # 10^3 times smaller when packed
    assert read_archive(path)[1]["zeros"] == bytes(10**6)
    for limit, value, words in (
        ("LARGEST_FILE", 10**6 - 1, "zeros is too large"),
        ("MOST_FILES", 1, "more than 1 files"),
        ("LARGEST_ARCHIVE", 10**5, "100000 bytes"),
        ("LARGEST_ARCHIVE", 100, "larger than 100 bytes"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(archive, limit, value)
            with pytest.raises(ResultFileError, match=words):
                read_archive(path)


def test_another_packing_a_newer_schema_and_no_archive_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(made([("a", b"x")], compression=zipfile.ZIP_STORED))
    with pytest.raises(ResultFileError, match="packed in another way"):
        read_archive(path)
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(MANIFEST, json.dumps({"schema": 2, "files": {}}))
    path.write_bytes(signed(body))
    with pytest.raises(SchemaError, match="Update attnflow"):
        read_archive(path)
    path.write_bytes(b"no archive")
    with pytest.raises(ResultFileError, match="not as it was written"):
        read_archive(path)
    with pytest.raises(ResultFileError, match="could not read"):
        read_archive(tmp_path / "none.zip")
