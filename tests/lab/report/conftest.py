"""What tests of the report share."""

import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    made = tmp_path / "dossier d'été"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def no_figures(monkeypatch):
    """Drawing takes a second, and what these tests are about is text."""
    monkeypatch.setattr("attnflow.lab.report.sections.study_figures", lambda run: {})
