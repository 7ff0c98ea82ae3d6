"""What tests of the laboratory share."""

import pytest

from attnflow.lab.store import Store


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "out")
    made.prepare()
    return made
