"""A study with foreign text in every place that the report shows, and the page that is made of it."""

import re
from html import unescape

from attnflow.lab.loading import load_study
from attnflow.lab.report.files import write
from attnflow.lab.running import run_study
from attnflow.lab.store import Store

SOURCE = '''"""How small is a toy's error? <script>alert("title")</script>

For eps -> 0 the error of the toy,

    A_N f(x) = int k^2 f p / int k p + O(eps),                                   [RZ, Theorem 3]

falls. <script>alert("docstring")</script>
"""
import attnflow.judge.claims
import jax
import numpy as np
from attnflow.lab import plots
from attnflow.judge.claims import Claim
from attnflow.lab.study import Study


def measure(case, keys):
    if case["bandwidth"] < FAILS_UNDER:
        raise ArithmeticError("<script>alert('failure')</script>")
    noise = np.array([np.random.default_rng(np.asarray(jax.random.key_data(key))).normal() for key in keys])
    eps = case["bandwidth"]
    return {"error": eps * (1 + eps) * np.exp(0.01 * noise), "holds": noise < 100}


def figure_of_its_own(cases):
    drawn = plots.figure(width=3, height=2)
    ax = drawn.subplots()
    ax.plot([case["bandwidth"] for case, _ in cases], [arrays["error"].mean() for _, arrays in cases])
    ax.set_title("<script>alert('figure')</script>")
    return drawn


FAILS_UNDER = 0.0
common = dict(source="RZ", quantity="error", size="bandwidth", hypotheses="p > 0 <script>alert('hypotheses')</script>")
study = Study(
    name="toy", measure=measure, ladder=[{"bandwidth": 0.4 / 2**k, "kind": "plain"} for k in range(9)], quick=8,
    seeds=16, quick_seeds=8, figures=[figure_of_its_own],
    claims=[
        Claim(id="toy/rate", statement="of order $\\\\varepsilon$ <script>alert('statement')</script>", kind="exponent",
              predicted=1.0, **common),
        Claim(id="toy/<script>alert('id')</script>", statement="of order eps^2", kind="exponent", predicted=2.0,
              control_of="toy/rate", **common),
        Claim(id="toy/limit|zero", statement="tends to 0", kind="constant", predicted=0.0, margin=0.1, **common),
        Claim(id="toy/holds", statement="holds", kind="flag", predicted=True, **{**common, "quantity": "holds"}),
    ],
)
'''


def ran(source=SOURCE, *, quick=True, master_seed=0):
    """A study, loaded from a file and run in the current folder, with its store."""
    with open("toy.py", "w", encoding="utf-8") as file:
        file.write(source)
    study, store = load_study("toy.py"), Store("out")
    store.prepare()
    run_study(study, store, quick=quick, master_seed=master_seed)
    return study, store


def written(study, store, **options):
    path, *_ = write({None: [study]}, store, "page.html", **options)
    return path.read_text(encoding="utf-8")


def words_of(html):
    """What a reader reads: the text without tags and figures, spaces collapsed."""
    body = re.sub(r"<style.*?</style>|<svg.*?</svg>", "", html, flags=re.DOTALL)
    body = re.sub(r"</(?:dt|dd|td|th|p|h\d)>", " ", body)
    return " ".join(unescape(re.sub(r"<[^>]+>", "", body)).split())
