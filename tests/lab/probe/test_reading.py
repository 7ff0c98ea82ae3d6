"""Files of heads: which arrays are recognised, what becomes of them, and what each fault says."""

import re
import zipfile
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
from ml_dtypes import bfloat16
from safetensors.numpy import save_file

from attnflow.errors import ConfigError, DataError, ResourceError
from attnflow.lab.probe.formats import tensors
from attnflow.lab.probe.reading import read_file

N, D, WIDTH = 60, 6, 4
RNG = np.random.default_rng(16)
X, Q, K, V = (RNG.normal(size=(N, width)) for width in (D, WIDTH, WIDTH, 3))
W, BIAS = RNG.normal(size=(WIDTH, D)), RNG.normal(size=WIDTH)


def saved(folder, **arrays):
    """An .npz of these arrays."""
    path = folder / "heads.npz"
    np.savez(path, **arrays)
    return path


def written(folder, ending):
    """A file of points, queries and keys in a format."""
    path = folder / f"heads{ending}"
    arrays = {"X": X, "Q": Q, "K": K}
    match ending:
        case ".npz":
            np.savez(path, **arrays)
        case ".h5":
            with h5py.File(path, "w") as file:
                for name, array in arrays.items():
                    file[name] = array
        case ".safetensors":
            save_file(arrays, path)
        case ".csv":
            names = [f"{name}.{place}" for name, array in arrays.items() for place in range(array.shape[1])]
            rows = [",".join(map(repr, row)) for row in np.column_stack(list(arrays.values())).tolist()]
            path.write_text("\n".join([",".join(names), *rows]))
    return path


def only(path, **options):
    """The arrays of the only head in a file."""
    heads = read_file(path, **options)
    (place,) = heads.places
    return heads.read(place)


@pytest.mark.parametrize("ending", [".npz", ".h5", ".safetensors", ".csv"])
def test_every_format_gives_the_same_numbers(tmp_path, ending):
    found = only(written(tmp_path, ending))
    for array, expected in ((found.points, X), (found.queries, Q), (found.keys, K)):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == np.float64
    assert found.values is None
    assert found.logits is None


@pytest.mark.parametrize("ending", [".npz", ".h5", ".safetensors", ".csv"])
@pytest.mark.parametrize("part", [0.0, 0.01, 0.6])
def test_a_file_that_is_cut_short_is_refused(tmp_path, ending, part):
    path = written(tmp_path, ending)
    content = path.read_bytes()
    cut = content[: int(part * len(content))]
    if ending == ".csv" and part:
        cut = cut[: cut.rfind(b",")]  # within a row; at the end of one nothing could be missed
    path.write_bytes(cut)
    with pytest.raises(DataError, match=re.escape(path.name)):
        only(path)


def test_the_points_of_an_npy_need_no_name(tmp_path):
    np.save(tmp_path / "embedding.npy", X)
    np.testing.assert_array_equal(only(tmp_path / "embedding.npy").points, X)


def test_an_npy_may_be_named_by_what_it_is(tmp_path):
    np.save(tmp_path / "logits.npy", Q @ K.T)
    found = only(tmp_path / "logits.npy")
    assert found.points is None
    np.testing.assert_array_equal(found.logits, Q @ K.T)


def test_an_npy_that_is_cut_short_says_by_how_much(tmp_path):
    path = tmp_path / "X.npy"
    np.save(path, X)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"X.npy is truncated: 3000 bytes of 3008"):
        read_file(path)


def test_half_precision_is_read(tmp_path):
    half = X.astype(bfloat16)
    save_file({"X": half, "mask": np.ones(N, bool)}, tmp_path / "a.safetensors")
    np.testing.assert_array_equal(only(tmp_path / "a.safetensors").points, half.astype(np.float64))


def test_safetensors_that_is_not_installed_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(tensors, "optional", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'attnflow\[probe\]'"):
        read_file(written(tmp_path, ".safetensors"))


def test_heads_are_found_by_their_suffixes(tmp_path):
    arrays = {f"X_{layer}": X + layer for layer in (0, 3)}
    arrays |= {f"{role}_{layer}_{head}": Q + head for role in "QK" for layer, head in ((3, 1), (0, 2))}
    heads = read_file(saved(tmp_path, **arrays, tokens=np.array(["a"] * N), other=np.ones(3)))
    assert heads.places == ((0, 2), (3, 1))
    assert [heads.name(place) for place in heads.places] == ["0.2", "3.1"]
    assert heads.naming.unread == ("other",)
    assert heads.tokens == ("a",) * N
    np.testing.assert_array_equal(heads.read((3, 1)).points, X + 3)
    np.testing.assert_array_equal(heads.read((0, 2)).queries, Q + 2)


@pytest.mark.parametrize(
    ("arrays", "places"),
    [
        ({"X": X, "Q": [Q, 2 * Q], "K": [K, K]}, ((None, 0), (None, 1))),
        ({"X": X, "Q_5": [Q, 2 * Q], "K_5": [K, K]}, ((5, 0), (5, 1))),
        ({"X": [X, X], "Q": [[Q, Q, Q]] * 2, "K": [[K, K, K]] * 2}, tuple((a, b) for a in (0, 1) for b in (0, 1, 2))),
        ({"X": X, "Q_1": Q, "K_1": K}, ((None, 1),)),
        ({"X_1": X, "Q_1": Q, "K_1": K}, ((1, None),)),
        ({"queries": Q, "Keys": K}, ((None, None),)),
        ({"logits": [Q @ K.T] * 2}, ((None, 0), (None, 1))),
        ({"X_0": X, "X_4": X}, ((0, None), (4, None))),
    ],
)
def test_leading_axes_and_single_numbers_count_heads_and_layers(tmp_path, arrays, places):
    heads = read_file(saved(tmp_path, **arrays))
    assert heads.places == places
    assert all(heads.rows(place) == N for place in places)


def test_single_numbers_are_no_arrays_of_heads(tmp_path):
    heads = read_file(saved(tmp_path, X=X, k=np.array(5), v=np.ones(3)))
    assert heads.places == ((None, None),)
    assert heads.naming.unread == ("k", "v")


def test_the_second_of_stacked_heads_is_read_from_its_place(tmp_path):
    heads = read_file(saved(tmp_path, X=X, Q=[Q, 2 * Q], K=[K, 3 * K], WV=[W, W + 1], bV=[BIAS, BIAS + 1]))
    found = heads.read((None, 1))
    np.testing.assert_array_equal(found.queries, 2 * Q)
    np.testing.assert_array_equal(found.keys, 3 * K)
    np.testing.assert_allclose(found.values, X @ (W + 1).T + BIAS + 1)


def test_projections_are_applied_to_the_points_of_their_layer(tmp_path):
    found = only(saved(tmp_path, X_2=X, WQ_2_0=W, bQ_2_0=BIAS, WK_2_0=2 * W))
    np.testing.assert_allclose(found.queries, X @ W.T + BIAS)
    np.testing.assert_allclose(found.keys, 2 * X @ W.T)
    assert found.sources == ("X_2", "WQ_2_0", "bQ_2_0", "WK_2_0")


def test_given_queries_count_before_projections(tmp_path):
    found = only(saved(tmp_path, X=X, Q=Q, K=K, WQ=W, bQ=BIAS))
    np.testing.assert_array_equal(found.queries, Q)
    assert "WQ" not in found.sources


def test_given_logits_count_before_queries_and_keys(tmp_path):
    found = only(saved(tmp_path, X=X, logits=Q @ K.T, Q=Q, V=V, WK=W))
    assert found.queries is None
    assert found.keys is None
    np.testing.assert_array_equal(found.values, V)
    assert found.sources == ("X", "logits", "V")


def test_the_caller_may_say_which_array_is_what(tmp_path):
    path = saved(tmp_path, a=X[:, 0], b=X[:, 1:], c=Q, d=K, X=np.zeros((3, 3)), names=np.arange(N))
    chosen = {"points": "a,b", "queries": "c", "keys": "d", "tokens": "names"}
    found = only(path, chosen=chosen)
    np.testing.assert_array_equal(found.points, X)
    np.testing.assert_array_equal(found.queries, Q)
    assert read_file(path, chosen=chosen).tokens == tuple(map(str, range(N)))


def test_one_layer_and_one_head_can_be_chosen(tmp_path):
    arrays = {f"{role}_{layer}_{head}": Q for role in "QK" for layer in (0, 1) for head in (0, 1)}
    path = saved(tmp_path, **arrays)
    assert read_file(path, layer=1).places == ((1, 0), (1, 1))
    assert read_file(path, layer=1, head=0).places == ((1, 0),)
    with pytest.raises(ConfigError, match=r"no head with `--layer` 1 and `--head` 7. It has 0.0, 0.1, 1.0, 1.1"):
        read_file(path, layer=1, head=7)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": X, "Q_left": Q}, r"'Q_left' has a suffix that is not known. Known are X, X_l, .*`--points NAME`"),
        ({"foo": X, "bar": X}, r"holds foo \(60, 6\), bar \(60, 6\), none of which has a name that is known"),
        ({"Q": Q, "V": V}, r"has 'Q', 'V' but neither K nor WK, nor logits"),
        ({"WQ": W, "WK": W}, r"has WQ but no points. Save X of its layer"),
        ({"Q": Q, "K": K[:-1]}, r"Q \(60, 4\), K \(59, 4\) have different numbers of rows"),
        ({"Q": Q, "K": X}, r"Q \(60, 4\) and K \(60, 6\) have different widths"),
        ({"X": X, "WQ": W.T, "WK": W}, r"WQ \(6, 4\) must have shape \(d, 6\) for X \(60, 6\).*Transpose it"),
        ({"X": X, "WQ": W, "WK": W, "bQ": np.ones(3)}, r"bQ \(3,\) must have shape \(4,\) for WQ \(4, 6\)"),
        ({"X": X, "WQ": W, "WK": W[:2]}, r"WQ \(4, 6\) and WK \(2, 6\) must have the same number of rows"),
        ({"logits": np.ones((N, 3))}, r"logits \(60, 3\) must be square"),
        ({"X": np.ones((2, 2, N, 3))}, r"'X' has shape \(2, 2, 60, 3\)"),
        ({"X_1": np.ones((2, N, 3))}, r"'X_1' has shape \(2, 60, 3\)"),
        ({"X": X[:, 0]}, r"'X' has shape \(60,\). Save \(N, D\), in front one axis for layers at most"),
        ({"logits": np.ones((2, 2, 2, N, N))}, r"'logits' has shape .*. Save 2 axes, in front those of layer and head"),
        ({"X": X + 1j}, r"'X' has the type complex128. Save real numbers"),
        ({"X": X[:0]}, r"'X' is empty: shape \(0, 6\)"),
        ({"X": X, "tokens": np.array(["a"] * 5)}, r"'tokens' names 5 tokens"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, arrays, words):
    with pytest.raises(DataError, match=words):
        only(saved(tmp_path, **arrays))


def test_rows_with_nan_are_counted(tmp_path):
    broken = X.copy()
    broken[[3, 7], 1] = np.nan
    broken[9] = np.inf
    with pytest.raises(DataError, match=r"heads.npz: 'X' has 3 rows with NaN or Inf, the first 3, 7, 9. Remove"):
        only(saved(tmp_path, X=broken))


def test_numbers_that_become_infinite_are_refused(tmp_path):
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(DataError, match=r"queries of heads are beyond"):
        only(saved(tmp_path, X=np.full((N, D), 1e200), WQ=np.full((2, D), 1e200), WK=np.ones((2, D))))


def test_pickled_objects_are_never_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("it was unpickled",))

    objects = np.empty((N, 2), dtype=object)
    objects[:] = Bomb()
    path = saved(tmp_path, X=objects, Y=X)
    with pytest.raises(DataError, match=r"'X' holds Python objects, which only unpickling could load"):
        only(path)
    np.testing.assert_array_equal(only(path, chosen={"points": "Y"}).points, X)


@pytest.mark.parametrize("kind", ["external link", "soft link through one", "external file", "virtual", "reference"])
def test_what_leads_out_of_an_hdf5_file_is_refused(tmp_path, kind):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = X
    (tmp_path / "raw.bin").write_bytes(X.tobytes())
    path = tmp_path / "heads.h5"
    with h5py.File(path, "w") as file:
        match kind:
            case "external link":
                file["X"] = h5py.ExternalLink("other.h5", "/secret")
            case "soft link through one":
                file["group"] = h5py.ExternalLink("other.h5", "/")
                file["X"] = h5py.SoftLink("/group/secret")
            case "external file":
                file.create_dataset("X", X.shape, X.dtype, external=[(str(tmp_path / "raw.bin"), 0, X.nbytes)])
            case "virtual":
                layout = h5py.VirtualLayout(X.shape, X.dtype)
                layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "secret", X.shape)
                file.create_virtual_dataset("X", layout)
            case "reference":
                file["Y"] = X
                file.create_dataset("X", (N,), h5py.ref_dtype)
    with pytest.raises(DataError, match=r"heads.h5: 'X' (is a link into another|keeps its numbers in|holds ref)"):
        only(path)


def test_links_within_an_hdf5_file_are_followed_and_circles_end(tmp_path):
    path = tmp_path / "heads.h5"
    with h5py.File(path, "w") as file:
        file["deep/er/array"] = X
        file["X"] = h5py.SoftLink("deep/there/array")
        file["deep/there"] = h5py.SoftLink("er")
        file["deep/up"] = h5py.SoftLink("/deep")
        file["Q"], file["K"] = h5py.SoftLink("/K"), h5py.SoftLink("/Q")
        file["tokens"] = ["a"] * N
    heads = read_file(path, chosen={"queries": "deep/er/array", "keys": "deep/er/array"})
    np.testing.assert_array_equal(heads.read(heads.places[0]).points, X)
    assert heads.tokens == ("a",) * N
    with pytest.raises(DataError, match=r"'Q' is a link that leads nowhere"):
        only(path)


def test_columns_of_a_table_belong_together_unless_they_are_named(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"{x!r},w{place},{y!r}" for place, (x, y) in enumerate(X[:, :2].tolist())]
    path.write_text("\n".join(rows))
    assert read_file(path).tokens[:2] == ("w0", "w1")
    np.testing.assert_array_equal(only(path).points, X[:, :2])
    path.write_text("\n".join(["height,tokens,weight", *rows, ""]))
    np.testing.assert_array_equal(only(path).points, X[:, :2])
    np.testing.assert_array_equal(only(path, chosen={"points": "weight,height"}).points, X[:, 1::-1])


@pytest.mark.parametrize("names", ["x,y", "X,Y", "Q,k", "X,points", "tokens,v"])
def test_columns_may_be_called_what_they_like(tmp_path, names):
    path = tmp_path / "a.csv"
    path.write_text("\n".join([names, *(f"{x!r},{y!r}" for x, y in X[:, :2].tolist())]))
    found = read_file(path)
    np.testing.assert_array_equal(found.read(found.places[0]).points, X[:, :2])
    assert found.naming.unread == ()


def test_the_index_of_a_data_frame_is_no_coordinate(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"{place},{x!r},{y!r}" for place, (x, y) in enumerate(X[:, :2].tolist())]
    path.write_text("\n".join([",0,1", *rows]))
    np.testing.assert_array_equal(only(path).points, X[:, :2])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2\n3,4,5\n", r"a.csv, line 2: 3 cells where there are 2 columns"),
        ("x,y\n1,2\n\n3,four\n", r"a.csv, line 4, column 'y': 'four' is no number"),
        ("x,x\n1,2\n", r"two columns with the name 'x'"),
        ("x,y\n", r"a.csv holds no rows of numbers"),
        ("1;2\n3;4\n", r"no commas in its first line"),
        ("Q.0,Q.2\n1,2\n", r"columns \[0, 2\] of 'Q'. Number them"),
        ("1,2\n3,\n", r"'X' has 1 rows with NaN or Inf, the first 1"),
    ],
)
def test_a_table_that_is_none_says_where(tmp_path, text, words):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        only(path)


def test_more_than_there_is_memory_for_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "heads.npz"
    header = {"descr": "<f8", "fortran_order": False, "shape": (2_000_000, 1_000_000)}
    with zipfile.ZipFile(path, "w") as archive, archive.open("X.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)
    with pytest.raises(DataError, match="truncated"):  # a header that lies is not believed
        read_file(path)
    with h5py.File(tmp_path / "heads.h5", "w") as file:
        file.create_dataset("X", (2_000_000, 1_000_000), "f8", chunks=(1000, 1000))  # of which nothing is written
    with pytest.raises(ResourceError, match=r"'X' need 1.6e\+04 GB of memory and .* are free"):
        only(tmp_path / "heads.h5")


def test_memory_is_asked_for_once_per_array(tmp_path, monkeypatch):
    path = saved(tmp_path, X=X, Q=Q, K=K)
    free = type("Memory", (), {"available": 8 * N * (D + 2 * WIDTH)})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    assert only(path).points.shape == (N, D)
    free.available -= 1
    with pytest.raises(ResourceError):
        only(path)


@pytest.mark.parametrize(("name", "words"), [("a.txt", "must end in .npy, .npz"), ("a.npz", "is not there")])
def test_files_that_are_none_are_refused(tmp_path, name, words):
    with pytest.raises(ConfigError, match=words):
        read_file(tmp_path / name)


@pytest.mark.parametrize("ending", [".npy", ".npz", ".h5", ".safetensors", ".csv"])
def test_another_format_is_told(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4)
    with pytest.raises(DataError, match=rf"a\{ending}"):
        read_file(path)


def test_a_chosen_array_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"`--points` must name an array of heads.npz: X \(60, 6\); got 'Y'"):
        read_file(saved(tmp_path, X=X), chosen={"points": "Y"})


def test_the_trained_heads_are_all_found():
    path = Path(__file__).parents[2] / "data" / "antiberty_trastuzumab.npz"
    heads = read_file(path)
    assert heads.places == ((0, 4), (1, 2), (4, 3), (7, 0), (7, 3))
    given = heads.read((7, 0))
    with np.load(path, allow_pickle=False) as arrays:
        projected = arrays["X_7"] @ arrays["WQ_7_0"].T + arrays["bQ_7_0"]
    np.testing.assert_allclose(given.queries, projected, rtol=0, atol=2e-5)  # float32 of both
