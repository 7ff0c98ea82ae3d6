"""How fast and how exact kernel sums are on this machine: every method, beside NumPy, KeOps and torch."""

from attnflow.lab.bench.engines import peers
from attnflow.lab.bench.figure import cost_curves, save
from attnflow.lab.bench.machine import OtherLoad, head, load_line, machine
from attnflow.lab.bench.tables import growth, one_step, planner_check, planner_grid, sizes
from attnflow.lab.bench.text import as_json, growth_text, planner_text, sizes_text, step_text, wrapped

__all__ = [
    "OtherLoad",
    "as_json",
    "cost_curves",
    "growth",
    "growth_text",
    "head",
    "load_line",
    "machine",
    "one_step",
    "peers",
    "planner_check",
    "planner_grid",
    "planner_text",
    "save",
    "sizes",
    "sizes_text",
    "step_text",
    "wrapped",
]
