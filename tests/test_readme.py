"""What the README shows runs as it stands."""

import re
from pathlib import Path

import numpy as np

import attnflow as af

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def _attended(attention, x):
    return af.EmpiricalAttention(attention, x).layer(x)


def numbers_of(text):
    return np.array(re.findall(r"\d+\.\d+(?:e[-+]\d+)?", text), float)


def words_of(text):
    return re.sub(r"\s+", " ", re.sub(r"\d+\.\d+(?:e[-+]\d+)?", "0", text)).strip()


def test_the_examples_run_and_their_errors_are_small(capsys):
    first, second, bandwidth, third, any_attention, tokens, learned, curved = re.findall(
        r"```python\n(.*?)```", README, flags=re.DOTALL
    )
    assert len([line for line in first.splitlines() if line.strip()]) <= 16
    names = {}
    exec(first, names)
    errors = [float(word) for word in re.findall(r"\d\.\d+(?:e-\d+)?", capsys.readouterr().out)]
    assert len(errors) == 4  # two errors at two times
    # f spans about four: sampling error with 4000 points and bias at eps = .05 are a few per cent of it
    assert all(0 < error < 0.1 for error in errors)

    exec(bandwidth, names)
    printed = capsys.readouterr().out
    shown, _ = re.findall(r"```text\n(.*?)```", README, flags=re.DOTALL)
    assert words_of(printed).startswith(words_of(shown))
    # 16 samples tell the last digits of each part otherwise on another machine; its order they tell.
    numbers, expected = numbers_of(printed)[: len(numbers_of(shown))], numbers_of(shown)
    large = expected > 1e-3
    np.testing.assert_allclose(numbers[large], expected[large], rtol=0.02)
    second_order, extrapolated = (
        np.array(words.split(), float) for words in re.findall(r"\[([^\]e]*)\]", printed)[-2:]
    )
    x = names["points"][:2]
    limit = af.DriftDiffusion(names["attention"], names["density"]).generator(names["f"], at=x)
    # About a hundred neighbours: the noise of the second generator is four times .17.
    np.testing.assert_allclose(extrapolated, limit, rtol=0, atol=2.5)
    fine = names["attention"].replace(bandwidth=0.005)
    bias = (af.PopulationAttention(fine, names["density"]).generator(names["f"], at=x) - limit) / 0.005
    np.testing.assert_allclose(second_order, bias, rtol=0, atol=0.15)  # of order .005 times the next coefficient

    exec(third, names)
    particles, population, limit = np.array(re.findall(r"-?\d\.\d+", capsys.readouterr().out), float).reshape(3, 2)
    # 4000 points see about 100 neighbours here; the values of f differ by ten times as much between the points.
    np.testing.assert_allclose(particles, population, rtol=0, atol=0.1)
    own, at = names["own"], names["points"][:2]
    quotient = af.PopulationAttention(own.replace(bandwidth=0.01), names["density"]).generator(names["f"], at=at)
    np.testing.assert_allclose(limit, quotient, rtol=0, atol=0.03)  # a bias of order eps, times about four

    exec(any_attention, names)
    printed = capsys.readouterr().out
    layer, slope, (jump, _) = (
        np.array(words.split(), float) for words in re.findall(r"\[\[?([^\]]*)\]\]?", printed.replace("] [", " "))
    )
    x, f = names["points"][0], names["f"]
    # One layer is the time .05, which leaves .05^2 and the scatter of a hundred neighbours.
    np.testing.assert_allclose(layer, names["both"](x) + 0.05 * slope, rtol=0, atol=0.05)
    assert "4000 regular; no others found" in printed
    attended = names["turned"] @ x
    assert abs(jump - f(attended / np.linalg.norm(attended))) < 1e-6  # printed with eight digits

    exec(tokens, names)
    beside, layers, far, stretched = capsys.readouterr().out.splitlines()
    apart = [float(word) for word in re.findall(r"\d\.\d+", beside)]
    # The sample itself is off by about int (F (1 - F))^(1/2) / 2000^(1/2), some .03; heat brings both closer.
    assert len(apart) == 3
    assert all(0 < distance < 0.08 for distance in apart)
    at_first, *later = (float(word) for word in re.findall(r"\d\.\d*", layers))
    assert at_first == 0
    assert all(0 < distance < 0.05 * time for distance, time in zip(later, [1.0, 3.0], strict=True))  # of order dt = .1
    moved, stretch = float(far.split()[2]), float(stretched.split()[2])
    # Heat for 3 / 20 takes 14 % of the first wave, of amplitude .9 / 2 pi; W1 of a wave is four times its amplitude.
    assert abs(moved - 0.08) < 0.03
    few = names["tokens"].points[0][:500]
    push = np.random.default_rng(0).standard_normal(few.shape) * 1e-6
    change = np.subtract(*(_attended(names["moving"], x) for x in (few + push, few)))
    assert np.linalg.norm(change) < 1.001 * stretch * np.linalg.norm(push)

    exec(learned, names)
    runs, layer = names["learned"], names["layer"]
    assert capsys.readouterr().out.count("4 seeds, 300 steps") == 2
    metric = runs["MetricAttention"].history["test"][:, -1]
    assert metric.mean() > 0.85  # guessing finds a half, a line .86 of the labels
    tokens = names["two_moons"].tokens[0, 0]
    heads = runs["MetricAttention"].model(0).blocks[0].heads
    entering = runs["MetricAttention"].model(0).embed(tokens)[0]
    np.testing.assert_allclose(layer.matrix, heads.weights(entering, entering)[0], atol=1e-5)  # float32
    assert np.linalg.eigvalsh(layer.metric(at=[[0.0, 0.5]])[0]).min() > 0

    exec(curved, names)
    (apart,) = [float(word) for word in re.findall(r"\d\.\d+(?:e-\d+)?", capsys.readouterr().out)]
    assert 0 < apart < 0.2  # 1000 points see some 25 neighbours, over a bias of a few per cent

    exec(second, names)
    method, declared = capsys.readouterr().out.split()
    assert method == "fourier"
    assert 0 < float(declared) <= 1e-6  # the rtol that the example passes
    h = 1e-6  # central differences are exact to h^2 and to rounding / h
    points, loss = names["million"][:20_000], names["loss"]
    assert abs((loss(points, 0.01 + h) - loss(points, 0.01 - h)) / (2 * h) - names["by_bandwidth"]) < 1e-6
    moved = points.copy()
    moved[0] += h
    back = points.copy()
    back[0] -= h
    assert abs((loss(moved, 0.01) - loss(back, 0.01)) / (2 * h) - names["by_points"][0].sum()) < 1e-8


def test_figures_and_files_that_the_readme_names_exist():
    root = Path(__file__).parents[1]
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    files = re.findall(r"`((?:studies/[a-z]+/)?[A-Za-z_]+\.(?:md|bib|cff|py))`", README)
    for path in links + files:
        assert (root / path).exists(), path


def test_every_public_name_in_the_readme_is_there():
    for name in set(re.findall(r"\baf\.([A-Za-z_0-9]+)", README)):
        assert hasattr(af, name), name


def test_the_table_of_trained_heads_is_what_the_command_prints():
    _, shown = re.findall(r"```text\n(.*?)```", README, flags=re.DOTALL)
    handbook = (Path(__file__).parents[1] / "docs" / "probe.md").read_text(
        encoding="utf-8"
    )  # held by a test of its own
    for line in shown.splitlines():
        assert line in handbook.splitlines() or not line
