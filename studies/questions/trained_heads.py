"""Five heads of a trained protein model, AntiBERTy, on the 122 tokens of a protein, and which of their pairs are alike.

What is known of each head is what `attnflow probe` says of it: 0.4, 1.2, 4.3 and 7.0 are windows along the sequence,
7.3 is a sink, which attends to the same keys from everywhere.
"""

import functools
import hashlib
import io
from pathlib import Path

import numpy as np

import attnflow as af

FILE = Path(__file__).resolve().parents[2] / "tests" / "data" / "antiberty_trastuzumab.npz"
DIGEST = "8e909adfc010d36ac1fb8bdc80744d098ddfa9203935754e9aadb5a7395b8e29"  # sha256 of what records were measured from
HEADS = {"0.4": "window", "1.2": "window", "4.3": "window", "7.0": "window", "7.3": "sink"}
TOKENS = 122
REACH = 8  # offsets of a window that have laws of their own


@functools.cache
def trained(name: str, *, path: Path = FILE) -> tuple[np.ndarray, np.ndarray]:
    """Return the queries over 8 and the keys of a head, (122, 64) each.

    Raises:
        DataError: the file is missing, or not the one that the claims are about.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise af.DataError(
            f"`{path.name}` must lie in tests/data of the repository, got {error.strerror} for {path}. "
            "Run this study from a checkout; the installed package has no trained heads."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != DIGEST:
        raise af.DataError(
            f"`{path.name}` must have the sha256 {DIGEST[:12]}..., got {found[:12]}... "
            "Restore the file from the repository; the claims are about its heads."
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        queries, keys = (arrays[f"{kind}_{name.replace('.', '_')}"].astype(float) for kind in "QK")
    return queries / 8, keys


@functools.cache
def centred(name: str) -> np.ndarray:
    """Return the logits of a head, rows less their means, (122, 122)."""
    queries, keys = trained(name)
    return queries @ (keys - keys.mean(axis=0)).T


@functools.cache
def kinds(read: str) -> np.ndarray:
    """Return the kind of each pair (i, j), for one law ("own"), a "window" or a "sink"."""
    tokens = np.arange(TOKENS)
    pairs = {
        "own": np.zeros((TOKENS, TOKENS), dtype=int),
        "sink": np.broadcast_to(tokens, (TOKENS, TOKENS)),
        "window": np.clip(tokens - tokens[:, None], -REACH - 1, REACH + 1) + REACH + 1,
    }
    found = pairs[read].copy()
    if read == "window":
        found[found == 2 * REACH + 2] = 0  # far on either side is one kind
        found[:, 0], found[:, -1] = 2 * REACH + 2, 2 * REACH + 3  # [CLS] and [SEP]
    return found
