"""Figures: they take records or plain arrays and an axes, and return the axes."""

from attnflow.plots.drawing import draw_study as draw_study
from attnflow.plots.drawing import records_digest as records_digest
from attnflow.plots.drawing import study_figures as study_figures
from attnflow.plots.flows import overlay as overlay
from attnflow.plots.flows import sphere_grid as sphere_grid
from attnflow.plots.flows import sphere_maps as sphere_maps
from attnflow.plots.ladders import claim_figure as claim_figure
from attnflow.plots.ladders import identity as identity
from attnflow.plots.ladders import ladder as ladder
from attnflow.plots.ladders import limit as limit
from attnflow.plots.ladders import local_slopes as local_slopes
from attnflow.plots.style import figure as figure
from attnflow.plots.style import image as image
from attnflow.plots.style import stamp as stamp
from attnflow.plots.style import style as style
