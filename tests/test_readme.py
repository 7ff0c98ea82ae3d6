"""What the README shows runs as it stands."""

import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_example_runs_and_its_errors_are_small(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 16
    exec(example, {})
    errors = [float(word) for word in re.findall(r"\d\.\d+(?:e-\d+)?", capsys.readouterr().out)]
    assert len(errors) == 4  # two errors at two times
    # f spans about four: sampling error with 4000 points and bias at eps = .05 are a few per cent of it
    assert all(0 < error < 0.1 for error in errors)


def test_figures_and_files_that_the_readme_names_exist():
    root = Path(__file__).parents[1]
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    files = re.findall(r"`((?:studies/)?[A-Za-z_]+\.(?:md|bib|cff|py))`", README)
    for path in links + files:
        assert (root / path).exists(), path


def test_every_public_name_in_the_readme_is_there():
    import attnflow as af

    for name in set(re.findall(r"\baf\.([A-Za-z_0-9]+)", README)):
        assert hasattr(af, name), name
