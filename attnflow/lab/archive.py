"""An archive of files with a manifest of their digests: whole, or refused.

A ZIP file in which every byte counts. The manifest holds the sha256 of each file, and the comment at the very end holds
that of all bytes before it, so that what is altered, be it a date that no reader looks at, is told. The digests are no
signature: they say that an archive is as it was written, not by whom.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnflow.errors import ResultFileError, SchemaError
from attnflow.lab.store import write_file

SCHEMA = 1
MANIFEST = "manifest.json"
NAME = re.compile(r"(?!.*\.\.)[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)  # below the archive, and no hidden file
COMMENT = b"attnflow archive, sha256 of all bytes before these words: "
DIGEST_LENGTH = 64
MOST_FILES, LARGEST_FILE, LARGEST_ARCHIVE = 100_000, 2**28, 2**31  # bytes, of the archive also when unpacked
BEGINNING = (1980, 1, 1, 0, 0, 0)  # the date of every file: equal files give equal archives


def write_archive(path: Path, files: Mapping[str, bytes], *, manifest: Mapping[str, Any]) -> None:
    """Write files and a manifest with their digests; equal ones give equal bytes, under one version of zlib.

    Args:
        path: of the archive.
        files: by their names in it, of letters, digits, `_`, `-`, `.` and `/`.
        manifest: what is said of them, as JSON; `schema` and `files` are added.

    Raises:
        ResultFileError: the file cannot be written.
    """
    digests = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
    text = json.dumps({"schema": SCHEMA, **manifest, "files": digests}, indent=1, sort_keys=True, allow_nan=False)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in {MANIFEST: text.encode(), **{name: files[name] for name in digests}}.items():
            entry = zipfile.ZipInfo(name, BEGINNING)
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
            archive.writestr(entry, data)
        archive.comment = COMMENT + b"0" * DIGEST_LENGTH  # its length stands before it
    body = buffer.getvalue()[: -DIGEST_LENGTH - len(COMMENT)]
    write_file(path, body + COMMENT + hashlib.sha256(body).hexdigest().encode())


def read_archive(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the manifest and the files of an archive, each of which is what the manifest says.

    Nothing is unpacked to the disk.

    Raises:
        ResultFileError: it cannot be read, is no archive of attnflow, or something in it is altered, missing, too
            large, or has a name that leads out of it; the message names the file.
        SchemaError: it was written by another schema.
    """
    try:
        if path.stat().st_size > LARGEST_ARCHIVE:
            raise ResultFileError(f"{path} is larger than {LARGEST_ARCHIVE} bytes. It is no archive of attnflow.")
        data = path.read_bytes()
    except OSError as error:
        if isinstance(error, ResultFileError):
            raise
        raise ResultFileError(f"could not read {path}: {error.strerror or error}.") from error
    files = _files(path, data)
    manifest = _manifest(path, files.pop(MANIFEST, b""))
    digests = manifest["files"]
    for name in sorted(digests.keys() | files.keys()):
        if name not in files:
            raise ResultFileError(f"{path}: {name} is missing, which the manifest lists. Ask for the archive again.")
        if digests.get(name) != hashlib.sha256(files[name]).hexdigest():
            raise _altered(path, name)
    body, comment = data[: -DIGEST_LENGTH - len(COMMENT)], data[-DIGEST_LENGTH - len(COMMENT) :]
    if comment != COMMENT + hashlib.sha256(body).hexdigest().encode():
        raise _altered(path, f"{MANIFEST}, or what lies between the files,")
    return manifest, files


def _files(path: Path, data: bytes) -> dict[str, bytes]:
    """Return all files of a ZIP file by name."""
    files: dict[str, bytes] = {}
    name = "the list of its files"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(path, entries)
            for entry in entries:
                name = entry.filename
                files[name] = archive.read(entry)
    except ResultFileError:
        raise
    except (
        Exception
    ) as error:  # zipfile raises of all sorts for damaged bytes: BadZipFile, zlib.error, struct.error, ...
        raise _altered(path, name) from error
    return files


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Raise ResultFileError if the list of a ZIP file is not one that `write_archive` writes."""
    times = Counter(entry.filename for entry in entries)
    if len(entries) > MOST_FILES or sum(entry.file_size for entry in entries) > LARGEST_ARCHIVE:
        raise ResultFileError(f"{path} holds more than {MOST_FILES} files, or {LARGEST_ARCHIVE} bytes. It is refused.")
    for entry in entries:
        if not NAME.fullmatch(entry.filename) or times[entry.filename] > 1:
            raise ResultFileError(
                f"{path} holds {entry.filename!r}, a name that leads out of the archive, is no plain path, or stands "
                "there twice. It is refused."
            )
        if entry.file_size > LARGEST_FILE or entry.flag_bits & 1 or entry.compress_type != zipfile.ZIP_DEFLATED:
            raise ResultFileError(f"{path}: {entry.filename} is too large, encrypted or packed in another way.")


def _manifest(path: Path, text: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(text)
        schema, files = manifest["schema"], manifest["files"]
        if not isinstance(files, dict):
            raise TypeError("no list of files")
    except (ValueError, KeyError, TypeError) as error:
        raise _altered(path, MANIFEST) from error
    if schema != SCHEMA:
        raise SchemaError(f"{path} has schema {schema}, this attnflow reads {SCHEMA}. Update attnflow.")
    return dict(manifest)


def _altered(path: Path, name: str) -> ResultFileError:
    return ResultFileError(f"{path}: {name} is not as it was written: a bit has changed. Ask for the archive again.")
