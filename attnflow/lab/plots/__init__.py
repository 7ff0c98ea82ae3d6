"""Figures: they take judgements or plain arrays and an axes, and return the axes.

A face of this room is kept here because studies draw with it: `from attnflow.lab import plots`.
"""

from attnflow.judge.words import number as number
from attnflow.lab.plots.animation import animate as animate
from attnflow.lab.plots.bounds import depth_ladder as depth_ladder
from attnflow.lab.plots.bounds import fan as fan
from attnflow.lab.plots.claims import claim_figure as claim_figure
from attnflow.lab.plots.clusters import phases as phases
from attnflow.lab.plots.clusters import staircase as staircase
from attnflow.lab.plots.coloured_surfaces import parts as parts
from attnflow.lab.plots.distances import distances as distances
from attnflow.lab.plots.drawing import draw_study as draw_study
from attnflow.lab.plots.drawing import records_digest as records_digest
from attnflow.lab.plots.drawing import study_figures as study_figures
from attnflow.lab.plots.flows import overlay as overlay
from attnflow.lab.plots.flows import residuals as residuals
from attnflow.lab.plots.ladder import ladder as ladder
from attnflow.lab.plots.ladder import local_slopes as local_slopes
from attnflow.lab.plots.limit import limit as limit
from attnflow.lab.plots.metric import drift_field as drift_field
from attnflow.lab.plots.metric import geodesics as geodesics
from attnflow.lab.plots.metric import metric_ellipses as metric_ellipses
from attnflow.lab.plots.metric import surface as surface
from attnflow.lab.plots.ordering import ordering as ordering
from attnflow.lab.plots.regions import decision_regions as decision_regions
from attnflow.lab.plots.regions import film_training as film_training
from attnflow.lab.plots.regions import learned_ellipses as learned_ellipses
from attnflow.lab.plots.regions import plane_grid as plane_grid
from attnflow.lab.plots.sphere_maps import sphere_grid as sphere_grid
from attnflow.lab.plots.sphere_maps import sphere_maps as sphere_maps
from attnflow.lab.plots.style import figure as figure
from attnflow.lab.plots.style import image as image
from attnflow.lab.plots.style import stamp as stamp
from attnflow.lab.plots.style import style as style
from attnflow.lab.plots.token_films import film_tokens as film_tokens
from attnflow.lab.plots.tokens import braids as braids
from attnflow.lab.plots.tokens import error_over_time as error_over_time
from attnflow.lab.plots.tokens import laws as laws
from attnflow.lab.plots.tokens import strands as strands
from attnflow.lab.plots.training import collapse_counts as collapse_counts
from attnflow.lab.plots.training import dots_and_violins as dots_and_violins
from attnflow.lab.plots.training import loss_bands as loss_bands
from attnflow.lab.plots.training import spectrum_over_training as spectrum_over_training
from attnflow.lab.plots.training import variance_parts as variance_parts
