"""What public objects look like when they are printed: one short line that says what they are, arrays in brief."""

import ast
import base64
import inspect
import pickle
import re
from pathlib import Path
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from embeddings import knot
from instances import Tilted, Weighted
from matplotlib.figure import Figure
from surfaces import lopsided as lopsided_surface

import attnflow as af
from attnflow._html import MOST_MARKS, SHOWN_ROWS, Table, in_html
from attnflow._words import in_brief
from attnflow.comparison.error_budget import ErrorBudget, Part
from attnflow.learn.regime import Regime

LONGEST = 200  # characters: two lines of a terminal
FACES = {
    package: Path(af.__file__).parent.joinpath(*package.split(".")[1:], "__init__.pyi")
    for package in ("attnflow", "attnflow.learn")
}
# What others derive from, and errors.
ABSTRACT = {
    "Density", "EmbeddedManifold", "FrequencySpectrum", "Manifold", "Mask", "Normalization", "Profile", "PseudoMetric",
    *vars(af.errors),
}  # fmt: skip

RNG = np.random.default_rng(2)
WIDE = RNG.normal(size=(64, 64))  # a matrix of which nobody wants to read 4096 numbers
CIRCLE, SPHERE = af.Circle(), af.Sphere(2)
POINTS = CIRCLE.sample_uniform(60, RNG)
PLAIN = af.Attention(af.SquaredDistance(), bandwidth=0.1)
CLAIM = af.Claim(
    id="noise/circle", source="Si", statement="of order N^(-1/2)", kind="exponent", quantity="error", size="points",
    hypotheses="independent points", predicted=-0.5,
)  # fmt: skip
LEVELS = [af.Level(size=float(n), values=[n**-0.5], deterministic=True) for n in (8, 16, 32, 64, 128, 256)]


def bump(x):
    """A function with a name."""
    return 0.5 * x[0]


def population():
    return af.PopulationAttention(PLAIN, af.Uniform(CIRCLE))


SHOWN = {
    "Attention": lambda: af.Attention(af.QueryKey(WIDE, WIDE), bandwidth=0.1, normalization=af.Entmax(1.5)),
    "BandwidthSuggestion": lambda: af.suggest_bandwidth(PLAIN, af.Uniform(CIRCLE), n=100, f=bump, at=POINTS[:2]),
    "Extrapolated": lambda: af.extrapolated(population()),
    "Distance": lambda: af.mmd(POINTS[:20], POINTS[20:]),
    "Gaussian": lambda: af.Gaussian(np.zeros(64), np.eye(64)),
    "LogDensity": lambda: af.LogDensity(CIRCLE, bump),
    "Mixture": lambda: af.Mixture([af.Gaussian([m, 0.0], np.eye(2)) for m in (-1.0, 0.0, 1.0, 2.0)]),
    "Uniform": lambda: af.Uniform(CIRCLE),
    "VonMisesFisher": lambda: af.VonMisesFisher(SPHERE, mean_direction=[1, 2, 2], concentration=0.8),
    "DriftDiffusion": lambda: af.DriftDiffusion(PLAIN, af.Uniform(CIRCLE)),
    "Minimizers": lambda: af.LaplaceExpansion(PLAIN, af.Uniform(CIRCLE)).minimizers(POINTS),
    "LaplaceExpansion": lambda: af.LaplaceExpansion(PLAIN, af.Uniform(CIRCLE)),
    "LeadingOrder": lambda: af.LaplaceExpansion(PLAIN, af.Uniform(CIRCLE)).leading_order(bump, at=POINTS),
    "GaussianClosure": lambda: af.GaussianClosure(af.Attention(af.DotProduct(), bandwidth=1.0), value=WIDE),
    "GaussianTrajectory": lambda: af.GaussianClosure(af.Attention(af.DotProduct(), bandwidth=1.0), value=-1.0).evolve(
        mean=0.3, covariance=0.5, times=[0.1, 0.2]
    ),
    "MeanFieldFlow": lambda: af.MeanFieldFlow(PLAIN, af.Uniform(CIRCLE), value=WIDE[:2, :2]),
    "FiniteElements": af.FiniteElements,
    "FiniteVolume": af.FiniteVolume,
    "Spectral": af.Spectral,
    "RandomFeatures": lambda: af.RandomFeatures("gaussian", 64, key=jax.random.key(0)),
    "CauchySpectrum": af.CauchySpectrum,
    "GaussianSpectrum": af.GaussianSpectrum,
    "MaternSpectrum": lambda: af.MaternSpectrum(1.5),
    "MultiHead": lambda: af.MultiHead([PLAIN] * 8, output=[np.eye(2)] * 8),
    "Adaptive": af.Adaptive,
    "Layer": lambda: af.Layer(0.1),
    "LayerNormStep": lambda: af.LayerNormStep(0.1),
    "PreNormStep": lambda: af.PreNormStep(0.1),
    "Midpoint": lambda: af.Midpoint(0.1),
    "Claim": lambda: CLAIM,
    "Level": lambda: af.Level(size=0.1, values=np.linspace(0, 1, 40)),
    "LimitFit": lambda: af.fit_limit([1, 2, 4, 8], 1 + RNG.normal(size=(4, 40))),
    "RateFit": lambda: af.fit_rate([1, 2, 4, 8], RNG.normal(size=(4, 40)) ** 2),
    "Verdict": lambda: af.judge(CLAIM, LEVELS),
    "Study": lambda: af.Study(
        name="toy", measure=bump, ladder=[{"points": n} for n in range(1, 99)], quick=3, claims=[CLAIM]
    ),
    "ClosedCurve": lambda: af.ClosedCurve(knot),
    "EmbeddedTorus": lambda: af.EmbeddedTorus(torus),
    "TorusOfRevolution": lambda: af.TorusOfRevolution(1.0, 0.4),
    "EuclideanSpace": lambda: af.EuclideanSpace(3),
    "Ellipsoid": lambda: af.Ellipsoid((1.0, 1.3, 0.7)),
    "StarSurface": lambda: af.StarSurface(lambda x: 1 + 0.1 * x[2]),
    "Interval": lambda: af.Interval(0.0, 1.0),
    "Product": lambda: af.Product(CIRCLE, af.Interval(0.0, 2.0)),
    "Sphere": lambda: SPHERE,
    "FlatTorus": lambda: af.FlatTorus(2),
    "TriangulatedSurface": lopsided_surface,
    "Adjacency": lambda: af.Adjacency(np.eye(300)),
    "Causal": af.Causal,
    "Neighbours": lambda: af.Neighbours(5),
    "Window": lambda: af.Window(5),
    "DiscreteMeasure": lambda: af.DiscreteMeasure(POINTS, np.linspace(1, 2, 60)),
    "AlphaNormalization": lambda: af.AlphaNormalization(0.5),
    "Entmax": lambda: af.Entmax(1.5),
    "KeyWeights": lambda: af.KeyWeights(bump),
    "Sinkhorn": af.Sinkhorn,
    "Sigmoid": af.Sigmoid,
    "Unnormalized": af.Unnormalized,
    "Compact": af.Compact,
    "Exponential": af.Exponential,
    "Root": af.Root,
    "StudentT": lambda: af.StudentT(3.0),
    "CustomPseudoMetric": lambda: af.CustomPseudoMetric(lambda x, y: jnp.sum((x - y) ** 2)),
    "Bregman": lambda: af.Bregman(bump),
    "KullbackLeibler": af.KullbackLeibler,
    "SquaredGeodesicDistance": lambda: af.SquaredGeodesicDistance(SPHERE),
    "KernelTimesNorm": lambda: af.KernelTimesNorm(2.5, coefficient=0.01),
    "LearnedMap": lambda: af.LearnedMap(jax.tree_util.Partial(lambda weight, x: weight @ x, WIDE)),
    "GraphAttention": lambda: af.GraphAttention(WIDE, WIDE[0]),
    "Mahalanobis": lambda: af.Mahalanobis(WIDE),
    "QueryKey": lambda: af.QueryKey(jnp.asarray(WIDE), WIDE),
    "QueryKeyDistance": lambda: af.QueryKeyDistance(WIDE, WIDE),
    "DotProduct": af.DotProduct,
    "SquaredDistance": af.SquaredDistance,
    "SelfTuned": lambda: af.SelfTuned.of_neighbours(POINTS, k=5),
    "VariableBandwidth": lambda: af.VariableBandwidth(lambda x: 1 + x[0] ** 2),
    "EmpiricalAttention": lambda: af.EmpiricalAttention(PLAIN, POINTS),
    "PopulationAttention": population,
    "TokenFlow": lambda: af.TokenFlow(PLAIN, value=WIDE),
    "Spectrum": lambda: af.EmpiricalAttention(PLAIN, POINTS).spectrum(12),
    "TokenTrajectory": lambda: af.TokenTrajectory(times=[0.0, 0.5], points=np.zeros((2, 300, 3))),
    "Trajectory": lambda: af.Trajectory(times=[0.0, 0.5], points=POINTS, values=np.zeros((2, 60))),
}


def torus(angles):
    """A torus of revolution, by its angles."""
    first, second = angles
    ring = 1 + 0.4 * jnp.cos(second)
    return jnp.stack([ring * jnp.cos(first), ring * jnp.sin(first), 0.4 * jnp.sin(second)])


def classes(package):
    """The public classes of a face by name; those of another name, as Circle, are functions."""
    lines = ast.parse(FACES[package].read_text(encoding="utf-8")).body
    face = af if package == "attnflow" else af.learn
    named = {line.names[0].name for line in lines if isinstance(line, ast.ImportFrom) and not line.level}
    return {name: getattr(face, name) for name in named if inspect.isclass(getattr(face, name))}


def test_every_public_class_is_shown():
    assert set(SHOWN) == set(classes("attnflow")) - ABSTRACT


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_printed_is_one_short_line_without_addresses_and_arrays(name):
    words = repr(SHOWN[name]())
    assert len(words) <= LONGEST
    assert "\n" not in words
    assert " at 0x" not in words
    assert "array(" not in words.lower()


@pytest.mark.parametrize("package", FACES)
def test_no_public_object_is_printed_by_its_address(package):
    assert [name for name, kind in classes(package).items() if kind.__repr__ is object.__repr__] == []


@pytest.mark.parametrize(
    "value",
    [
        af.FlatTorus(2), af.Interval(0.0, 2.5), af.Uniform(CIRCLE), af.Gaussian([0.5, 1.0], [[2.0, 0.0], [0.0, 1.0]]),
        af.QueryKey([[1.0, 2.0]], [[0.5, 4.0]]), 2.0 * af.SquaredDistance() + af.Mahalanobis([[1.0, 2.0]]),
        0.5 * (af.SquaredDistance() + af.DotProduct()), af.StudentT(3.0), af.AlphaNormalization(0.5),
        af.Mixture([af.Gaussian([0.0], [[1.0]]), af.Gaussian([1.0], [[2.0]])], weights=[0.25, 0.75]),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_value_of_a_few_numbers_is_printed_as_it_is_made(value):
    made = eval(repr(value), {name: getattr(af, name) for name in classes("attnflow")})
    assert type(made) is type(value)
    for ours, theirs in zip(jax.tree.leaves(made), jax.tree.leaves(value), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (np.linspace(-1, 2, 300).reshape(100, 3), "array (100, 3) from -1 to 2"),
        (np.full(7, 0.25), "array (7,) of 0.25"),
        (np.zeros((0, 3)), "array (0, 3)"),
        (np.array([[1.0, 1 / 3]]), "[[1, 0.333333]]"),
        (np.float64(1 / 3), "0.3333333333333333"),
        (jnp.arange(3), "[0, 1, 2]"),
        (np.array([True, False]), "[1, 0]"),
        (np.array([1.0, np.nan]), "[1, nan]"),
        (jax.random.key(0), "key<fry> ()"),
        ((1.5,), "(1.5,)"),
        ([bump, len], "[bump, len]"),
        ([PLAIN] * 5, "[Attention(SquaredDistance(), bandwidth=0.1), ...: 5]"),
        ("word", "'word'"),
    ],
)
def test_fields_are_told_in_brief(content, words):
    assert in_brief(content) == words


def test_what_jax_traces_is_told_by_its_shape():
    told = []
    jax.jit(lambda cost: told.append(repr(cost)))(af.Mahalanobis(WIDE))
    assert told == ["Mahalanobis(matrix=float64 (64, 64))"]


def test_classes_of_a_user_are_told_by_what_they_hold():
    assert repr(Weighted(WIDE)) == f"Weighted(matrix={in_brief(WIDE)})"
    assert repr(Tilted(0.5)) == "Tilted(strength=0.5)"


def test_of_many_eigenvalues_the_smallest_are_told():
    found = af.Spectrum(np.arange(9.0), lambda points: points, 1e-9)
    assert repr(found) == "Spectrum([0, 1, 2, 3, 4, 5, ...: 9], solver_error=1e-09)"


def test_measured_numbers_have_four_digits():
    assert "neighbours=0.1235, own_key=0.1235" in repr(Regime(*[0.123456] * len(Regime._fields)))


# What a person looks at in a notebook: with a table, and with a figure where it can be drawn unasked.
RESULTS = {
    "Trajectory": True, "TokenTrajectory": True, "Spectrum": True, "RateFit": True, "LimitFit": True, "Verdict": False,
    "BandwidthSuggestion": True, "GaussianTrajectory": False, "Minimizers": False, "LeadingOrder": False,
}  # fmt: skip
CLOUD = SPHERE.sample_uniform(60, RNG)
UNLISTED = {  # results of functions whose classes have no public name
    "error budget": (lambda: budget(), True),
    "probe of a head": (lambda: af.probe(CLOUD, queries=CLOUD, keys=CLOUD, bandwidth=0.1), True),
    "probe of two heads": (lambda: af.probe(CLOUD, queries=[CLOUD] * 2, keys=[CLOUD] * 2, bandwidth=0.1), True),
    "probe of points": (lambda: af.probe(CLOUD), True),
    "one head of a probe": (lambda: af.probe(CLOUD, queries=CLOUD, keys=CLOUD, bandwidth=0.1).head, False),
    "points of a probe": (lambda: af.probe(CLOUD).cloud, False),
}


def budget():
    parts = [Part(name, 0.1, 0.05, 0.2, 0.1) for name in ("fluctuation", "bias")]
    whole = Part("total", 0.15, 0.1, 0.2)
    return ErrorBudget("the generator", 100, tuple(parts), whole, whole, np.full(4, 0.02), ("bias < noise",))


def shown_in_html(result):
    """The HTML of a result, which every browser reads as XML would."""
    text = result._repr_html_()
    root = ElementTree.fromstring(re.sub("<(img [^>]*)>", r"<\1/>", text))
    return text, "".join(root.itertext()), root


def check_html(result, *, has_figure):
    text, words, root = shown_in_html(result)
    assert words.startswith(type(result).__name__)
    assert " at 0x" not in words
    assert "array(" not in words
    assert len(words) < 3000  # a screen
    assert not re.search(r"<script|<style|https?:|url\(", text)  # it needs nothing else, and changes nothing else
    assert not re.search(r"(?<![-\w])color:(?!inherit)", text)  # letters are those of the page, light or dark
    images = list(root.iter("img"))
    assert len(images) == has_figure
    for image in images:
        assert "background:white" in image.get("style")
        kind, data = image.get("src").split(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", SHOWN)
def test_results_have_a_table_and_a_figure_in_notebooks_and_values_their_line(name):
    made = SHOWN[name]()
    assert hasattr(made, "_repr_html_") == (name in RESULTS)
    if name in RESULTS:
        check_html(made, has_figure=RESULTS[name])


@pytest.mark.parametrize("name", UNLISTED)
def test_budgets_and_probes_have_a_table_in_notebooks(name):
    make, has_figure = UNLISTED[name]
    check_html(make(), has_figure=has_figure)


def test_html_is_escaped_and_keeps_to_the_first_rows():
    table = Table(["<b>"], [("<script>", 1.23456)] * (SHOWN_ROWS + 3))
    text = in_html(1.0, {"a & b": "<i>", "empty": "", "none": None}, table=table)
    assert "<script>" not in text
    assert "<i>" not in text
    words = "".join(ElementTree.fromstring(text).itertext())
    assert words.startswith("floata & b<i><b><script>1.235")
    assert words.endswith(f"the first {SHOWN_ROWS} of {SHOWN_ROWS + 3}")
    assert "empty" not in words


def test_what_cannot_be_drawn_is_shown_without_a_figure_and_says_why():
    vectors = af.Trajectory(times=[0.0], points=POINTS, values=np.zeros((1, 60, 2)))
    assert "no figure: `values` must be scalar to be drawn" in shown_in_html(vectors)[1]
    many = af.Trajectory(times=[0.0], points=np.zeros((MOST_MARKS + 1, 2)), values=np.zeros((1, MOST_MARKS + 1)))
    assert "too many points: call .plot()" in shown_in_html(many)[1]


def test_axes_of_a_figure_of_their_own_show_it_in_a_notebook_with_all_that_is_drawn_on_it():
    found = af.Spectrum(np.arange(3.0), lambda points: points, 1e-9)
    ax = found.plot()
    alone = ax._repr_html_()
    assert found.plot(ax) is ax
    assert ax._repr_html_().startswith('<img alt="" width="403" ')  # 4.2 inches
    ax.set_title("both")
    assert ax._repr_html_() != alone
    assert not hasattr(Figure().subplots(), "_repr_html_")  # those of others are left alone
    assert pickle.loads(pickle.dumps(ax))._repr_html_().startswith("<img ")
