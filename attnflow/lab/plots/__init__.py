"""Figures: they take records or plain arrays and an axes, and return the axes."""

from attnflow.lab.plots.drawing import draw_study as draw_study
from attnflow.lab.plots.drawing import records_digest as records_digest
from attnflow.lab.plots.drawing import study_figures as study_figures
from attnflow.lab.plots.flows import overlay as overlay
from attnflow.lab.plots.flows import sphere_grid as sphere_grid
from attnflow.lab.plots.flows import sphere_maps as sphere_maps
from attnflow.lab.plots.ladders import claim_figure as claim_figure
from attnflow.lab.plots.ladders import identity as identity
from attnflow.lab.plots.ladders import ladder as ladder
from attnflow.lab.plots.ladders import limit as limit
from attnflow.lab.plots.ladders import local_slopes as local_slopes
from attnflow.lab.plots.style import figure as figure
from attnflow.lab.plots.style import image as image
from attnflow.lab.plots.style import stamp as stamp
from attnflow.lab.plots.style import style as style
