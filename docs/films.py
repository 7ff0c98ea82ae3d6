"""Write the films of docs/films: `make films`.

three_lives.gif      values on the sphere, averaged by attention over tokens that stand still, beside their limit
clusters.gif         tokens on the circle that attention moves, with their law and its mean-field equation
learned_metric.gif   what metric-attention decides, and the metric that it learns
"""

import sys
from pathlib import Path

import jax
import numpy as np

import attnflow as af
from attnflow.lab import plots


def three_lives(path: Path, *, frames: int) -> Path:
    """Film an attention among 3000 tokens of the sphere beside its drift-diffusion."""
    sphere = af.Sphere(2)
    density = af.VonMisesFisher(sphere, mean_direction=[0, 0, 1], concentration=0.8)
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.02)

    def f(x: jax.Array) -> jax.Array:
        return x[0] + 2 * x[0] * x[1] + x[2] ** 3

    points = density.sample(3000, key=jax.random.key(0))
    times = 0.02 * np.arange(frames)
    particles = af.EmpiricalAttention(attention, points).evolve(f, times=times)
    heights = 1 - (2 * np.arange(6000) + 1) / 6000
    turns = np.pi * (1 + 5**0.5) * np.arange(6000)  # by the golden angle: points that lie evenly
    rings = np.sqrt(1 - heights**2)
    at = np.column_stack([rings * np.cos(turns), rings * np.sin(turns), heights])
    continuum = af.DriftDiffusion(attention, density).evolve(f, times=times, at=at)
    return plots.animate(path, particles=particles, continuum=continuum)


def clusters(path: Path, *, frames: int) -> Path:
    """Film 400 tokens of the circle that come together in three places, with the equation of their law."""
    circle = af.Circle()
    density = af.LogDensity(circle, lambda x: 0.6 * (4 * x[0] ** 3 - 3 * x[0]))
    attention = af.Attention(af.DotProduct(), bandwidth=af.bandwidth_from_inverse_temperature(9.0))
    times = np.linspace(0.0, 3.0, frames)
    tokens = af.TokenFlow(attention, manifold=circle).evolve(density.sample(400, key=jax.random.key(1)), times=times)
    angles = 2 * np.pi * np.arange(256) / 256
    at = np.column_stack([np.cos(angles), np.sin(angles)])
    law = af.MeanFieldFlow(attention, density, rtol=1e-4).evolve(times=times, at=at)
    return plots.film_tokens(path, tokens, law=law)


def learned_metric(path: Path, *, frames: int) -> Path:
    """Film what one block of metric-attention decides on two moons while it learns, 15 steps of Adam a frame."""
    draw = af.learn.moons(key=jax.random.key(2), count=160, test=40).standardized()
    block = af.learn.PropagationBlock.of(af.learn.MetricAttention)
    trained = af.learn.train(
        lambda key: af.learn.InformationPropagationNetwork(2, 16, 2, block=block, key=key),
        af.learn.TokenLoss(), af.learn.stack([draw]), keys=[jax.random.key(3)], steps=15 * (frames - 1), every=15,
        learning_rate=0.01, measure=af.learn.keep_parameters,
    )  # fmt: skip
    box = np.array([[-2.2, -2.2], [2.2, 2.2]])
    x, y, plane = plots.plane_grid(box, count=60, room=0.0)
    places = plots.plane_grid(0.9 * box, count=10, room=0.0)[2]
    networks, tokens = af.learn.snapshots(trained, 0), draw.tokens[0]
    chances = [jax.nn.softmax(af.learn.respond(network, tokens, plane))[:, 1].reshape(60, 60) for network in networks]
    metrics = [af.learn.layer_of(network, tokens).metric(places) for network in networks]
    return plots.film_training(
        path, steps=trained.times, x=x, y=y, chances=np.array(chances), tokens=tokens, labels=draw.labels[0],
        train=draw.train[0], at=places, metrics=np.array(metrics),
    )  # fmt: skip


FILMS = {"three_lives": three_lives, "clusters": clusters, "learned_metric": learned_metric}

if __name__ == "__main__":
    af.enable_x64()
    folder = Path(__file__).parent / "films"
    folder.mkdir(exist_ok=True)
    for name in sys.argv[1:] or FILMS:
        print(FILMS[name](folder / f"{name}.gif", frames=24))
