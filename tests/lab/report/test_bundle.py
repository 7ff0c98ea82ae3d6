"""A bundle is judged again by its own records, without a line of its studies being run."""

import json

import pytest
from reported_study import SOURCE, ran

from attnflow.cli import main
from attnflow.errors import ResultFileError
from attnflow.lab import bundle as bundles
from attnflow.lab.archive import read_archive, write_archive
from attnflow.lab.bundle import read_bundle
from attnflow.lab.report.files import write
from attnflow.lab.runs import read_run

BESIDE = "SLOPE = 1\n"


@pytest.fixture
def bundle(folder, no_figures):
    """A bundle of a study that imports a module beside it; neither is there any more."""
    with open("slope.py", "w") as file:
        file.write(BESIDE)
    study, store = ran(SOURCE.replace("import numpy as np\n", "import numpy as np\nimport slope\n"), master_seed=3)
    made = folder / "bundle.zip"
    assert write({None: [study]}, store, "page.html", bundle=made, master_seed=3)[-1] == made
    verdicts = read_run(study, store, master_seed=3).verdicts
    for name in ("slope.py", "toy.py"):
        (folder / name).unlink()
    return made, verdicts


def rewritten(path, change):
    """The bundle with a manifest or files that were changed, and digests that are right again."""
    manifest, files = read_archive(path)
    change(manifest, files)
    manifest.pop("files")
    write_archive(path, files, manifest=manifest)
    return path


def test_an_honest_bundle_gives_the_same_verdicts(bundle):
    path, verdicts = bundle
    found = read_bundle(path)
    assert [verdict.row() for verdict in found.verdicts] == [verdict.row() for verdict in verdicts]
    assert found.differing == ()
    assert (found.master_seed, found.files) == (3, 1 + 2 + 8)  # a page, two sources, eight records


def test_a_bundle_holds_the_page_the_records_and_the_sources(bundle, folder):
    manifest, files = read_archive(bundle[0])
    assert files["report.html"] == (folder / "page.html").read_bytes()
    assert files["studies/toy/beside_0.py"].decode() == BESIDE
    assert sum(name.startswith("records/toy/") for name in files) == 8
    assert [row["id"] for row in manifest["verdicts"]] == [verdict.id for verdict in bundle[1]]


def test_the_same_bundle_has_the_same_bytes(folder, no_figures):
    study, store = ran()
    one, other = (folder / name for name in ("one.zip", "other.zip"))
    for path in (one, other):
        write({None: [study]}, store, "page.html", bundle=path)
    assert one.read_bytes() == other.read_bytes()


def test_a_verdict_that_does_not_follow_from_the_records_is_told(bundle):
    def forge(manifest, files):
        manifest["verdicts"][0]["verdict"] = "refuted"
        del manifest["verdicts"][2]

    rate, limit = sorted(read_bundle(rewritten(bundle[0], forge)).differing, key=lambda text: "rate" not in text)
    assert rate == "toy/rate: the manifest says refuted, and from the records follows supported"
    assert limit == "toy/limit|zero: the manifest says absent, and from the records follows supported"


def test_records_of_another_study_or_too_few_are_refused(bundle):
    def lose(manifest, files):
        del files[max(name for name in files if name.startswith("records"))]

    def edit(manifest, files):
        files["studies/toy/beside_0.py"] = b"SLOPE = 2\n"  # which the records do not answer

    before = bundle[0].read_bytes()
    for change in (lose, edit):
        bundle[0].write_bytes(before)
        with pytest.raises(ResultFileError, match="not those of its quick run"):
            read_bundle(rewritten(bundle[0], change))


def test_a_foreign_record_is_named(bundle):
    def replace(manifest, files):
        files["records/toy/foreign.h5"] = b"foreign"

    with pytest.raises(ResultFileError, match=r"records/toy/foreign\.h5 is no record"):
        read_bundle(rewritten(bundle[0], replace))


@pytest.mark.parametrize(
    "change",
    [
        {"studies": [{}]},
        {"studies": None},
        {"verdicts": [{}]},
        {"master_seed": "x"},
        {"studies": [{"sources": []}]},
    ],
)
def test_a_manifest_that_describes_no_study_is_refused(bundle, change):
    with pytest.raises(ResultFileError, match=r"bundle\.zip: manifest\.json|not those of its"):
        read_bundle(rewritten(bundle[0], lambda manifest, files: manifest.update(json.loads(json.dumps(change)))))


def test_nothing_of_a_bundle_is_run(bundle):
    def trap(manifest, files):
        files["studies/toy/study.py"] += b"\nraise SystemExit(9)\n"

    with pytest.raises(ResultFileError, match="not those of its quick run"):
        read_bundle(rewritten(bundle[0], trap))
    with pytest.raises(ResultFileError, match="is not run"):
        bundles._measure({}, [])


def test_the_command_line_says_what_follows(bundle, capsys):
    path, _ = bundle
    assert main(["verify", "--bundle", str(path)]) == 0
    assert "All verdicts of the manifest follow from the records." in capsys.readouterr().out
    rewritten(path, lambda manifest, files: manifest["verdicts"][0].update(verdict="refuted"))
    assert main(["verify", "--bundle", str(path)]) == 1
    data = path.read_bytes()
    path.write_bytes(data[:300] + bytes([data[300] ^ 4]) + data[301:])
    assert main(["verify", "--bundle", str(path)]) == 2
    assert "is not as it was written" in capsys.readouterr().err
    assert main(["verify", "toy", "--bundle", str(path)]) == 2
    assert main(["report", "--bundle", "no/such/bundle.zip"]) == 2
