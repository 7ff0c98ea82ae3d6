"""Tests compute in float64; attnflow never switches it on by itself."""

import attnflow as af

af.enable_x64()
