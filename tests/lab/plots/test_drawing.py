"""The figures of a study are stamped with their records, come in the formats asked for, and replace those before."""

import matplotlib as mpl
import numpy as np
import pytest
from toy_ladder import SIZES, claim, dots, errors

from attnflow.errors import ConfigError
from attnflow.lab import plots
from attnflow.lab.plots.drawing import measured_cases
from attnflow.lab.runs import Run
from attnflow.lab.store import Record
from attnflow.lab.study import Study, Task


def scatter(cases):
    drawn = plots.figure(width=3, height=2)
    drawn.subplots().plot([case["bandwidth"] for case, _ in cases], [arrays["error"].mean() for _, arrays in cases])
    return drawn


def toy(**changes):
    fields = {
        "name": "toy", "measure": lambda case, keys: {}, "ladder": [{"bandwidth": float(size)} for size in SIZES],
        "quick": len(SIZES), "claims": [claim(), claim(id="toy/flag", kind="flag", quantity="holds", predicted=True)],
        "seeds": 24, "quick_seeds": 10, "figures": [scatter], "source": "pass",
    }  # fmt: skip
    return Study(**{**fields, **changes})


def records_of(study, values, failed=()):
    records = []
    for index, (case, row) in enumerate(zip(study.ladder, values, strict=True)):
        for seeds in (range(10), range(10, 24)):
            task = Task(study=study.name, case=case, seeds=seeds, master_seed=0, source=study.digest)
            arrays = {"error": row[seeds.start : seeds.stop], "holds": np.ones(len(seeds))}
            bad = index in failed
            provenance = {"seconds": 0.0}
            records.append(
                Record(
                    task=task, arrays={} if bad else arrays, provenance=provenance, failed="bad luck" if bad else None
                )
            )
    return records


def run_of(study, values, failed=()):
    """A complete run of the study with these numbers."""
    return Run.of(study, records_of(study, values, failed), settings=("full",))


def drawn_study(study, values, failed=()):
    return plots.study_figures(run_of(study, values, failed))


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_study_is_drawn_as_svg_also_where_the_path_has_spaces_and_accents(tmp_path):
    paths = plots.draw_study(run_of(toy(), errors()), tmp_path / "été à Paris")
    assert {path.parent for path in paths} == {tmp_path / "été à Paris" / "toy"}
    assert sorted(path.name for path in paths) == ["scatter.svg", "toy-error.svg"]
    assert all(path.read_bytes().startswith(b"<svg") for path in paths)
    assert max(path.stat().st_size for path in paths) < 25_000  # a repository keeps a hundred of them


def test_each_format_is_written_that_is_asked_for(tmp_path):
    paths = plots.draw_study(run_of(toy(figures=[]), errors()), tmp_path, formats=("pdf", "png", "svg"))
    heads = {".pdf": b"%PDF", ".png": b"\x89PNG", ".svg": b"<svg"}
    assert sorted(path.suffix for path in paths) == sorted(heads)
    assert all(path.read_bytes().startswith(heads[path.suffix]) for path in paths)


def test_a_figure_that_the_readme_shows_is_also_written_as_png(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("# Toy\n\n![A scatter](drawn/toy/scatter.png)\n", encoding="utf-8")
    plots.draw_study(run_of(toy(), errors()), tmp_path / "drawn", readme=readme)
    assert files_in(tmp_path / "drawn" / "toy") == ["scatter.png", "scatter.svg", "toy-error.svg"]


def test_figures_of_other_formats_and_of_claims_that_have_gone_are_removed_and_no_other_file_is(tmp_path):
    before = toy(claims=[claim(), claim(id="toy/gone")])
    plots.draw_study(run_of(before, errors()), tmp_path, formats=("pdf", "png", "svg"))
    folder = tmp_path / "toy"
    assert len(files_in(folder)) == 9
    (folder / "mine.png").write_bytes(b"\x89PNG, a photograph")
    (folder / "notes.txt").write_text("attnflow")
    (folder / "deeper.svg").mkdir()
    (tmp_path / "other.svg").write_text("attnflow")
    plots.draw_study(run_of(toy(), errors()), tmp_path)
    kept = ["deeper.svg", "mine.png", "notes.txt", "scatter.svg", "toy-error.svg"]
    assert files_in(folder) == kept
    assert (tmp_path / "other.svg").exists()


def test_a_folder_whose_parent_is_missing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="parent"):
        plots.draw_study(run_of(toy(), errors()), tmp_path / "no" / "where")


def test_every_figure_is_stamped_with_the_digest_of_its_records():
    study = toy()
    records, others = records_of(study, errors()), records_of(study, 1.001 * errors())
    digest = plots.records_digest(records)
    assert plots.records_digest(records[::-1]) == digest != plots.records_digest(others)
    for drawn in drawn_study(study, errors()).values():
        (stamp,) = [text.get_text() for text in drawn.texts if text.get_gid() == "stamp"]
        assert digest[:16] in stamp
        assert "toy" in stamp


def test_equal_records_give_equal_bytes():
    study = toy()
    once, again = (drawn_study(study, errors()) for _ in range(2))
    for format in ("png", "pdf", "svg"):
        assert [plots.image(each, format) for each in once.values()] == [
            plots.image(each, format) for each in again.values()
        ]


def test_no_global_setting_is_left_changed():
    before = dict(mpl.rcParams)
    study = toy(figures=[scatter, lambda cases: 1 / 0])
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        drawn_study(study, errors())
    assert dict(mpl.rcParams) == before


def test_two_figures_of_one_name_are_refused():
    study = toy(figures=[scatter, scatter])
    with pytest.raises(ConfigError, match="two figures"):
        drawn_study(study, errors())


def test_a_failed_level_is_left_out_and_a_flag_has_no_figure():
    study = toy()
    figures = drawn_study(study, errors(), failed=[4])
    assert set(figures) == {"scatter", "toy-error"}
    upper = figures["toy-error"].axes[0]
    np.testing.assert_array_equal(dots(upper)[0].get_xdata(), np.delete(SIZES, 4))
    assert "invalid" in upper.texts[0].get_text()


def test_a_control_is_drawn_in_the_figure_of_its_claim_and_has_none_of_its_own():
    study = toy(figures=[], claims=[claim(), claim(id="toy-control/error", predicted=2.0, control_of="toy/error")])
    figures = drawn_study(study, errors())
    assert list(figures) == ["toy-error"]
    assert "control predicts slope 2" in figures["toy-error"].axes[0].get_legend_handles_labels()[1]


def test_a_control_whose_figure_is_of_another_kind_has_its_own():
    constant = claim(id="toy-control/error", kind="constant", control_of="toy/error")
    study = toy(figures=[], claims=[claim(), constant])
    assert set(drawn_study(study, errors())) == {"toy-error", "toy-control-error"}


def test_a_figure_of_the_study_is_left_out_if_its_case_failed():
    study = toy(figures=[scatter, lambda cases: next(arrays for case, arrays in cases if case["bandwidth"] == 0.4)])
    assert set(drawn_study(study, errors(), failed=[0])) == {"scatter", "toy-error"}


def test_a_study_of_which_everything_failed_has_no_ladder():
    study = toy(figures=[])
    assert drawn_study(study, errors(), failed=range(len(SIZES))) == {}


def test_the_records_of_a_case_reach_a_figure_as_one_array_in_the_order_of_seeds():
    study = toy()
    cases = measured_cases(records_of(study, errors(), failed=[2]))
    assert [case["bandwidth"] for case, _ in cases] == np.delete(SIZES, 2).tolist()
    np.testing.assert_array_equal(cases[0][1]["error"], errors()[0])
