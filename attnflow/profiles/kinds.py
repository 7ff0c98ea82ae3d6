"""The profiles that have no parameters and go by their names."""

from __future__ import annotations

from attnflow.profiles.base import Profile
from attnflow.profiles.compact import Compact
from attnflow.profiles.exponential import Exponential
from attnflow.profiles.gaussian import GAUSSIAN
from attnflow.profiles.root import Root

NAMED: dict[str, Profile] = {
    "gaussian": GAUSSIAN, "exponential": Exponential(), "root": Root(), "compact": Compact(),
}  # fmt: skip
