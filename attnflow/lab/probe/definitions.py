"""What every number of a probe means, how sure it is, what it is compared with and what it cannot say: one table.

The tokens' features f are their values where a head has them, else their coordinates.
"""

from __future__ import annotations

import math
from typing import NamedTuple

GAUSSIAN, SHUFFLED, RANDOM, COLUMNS = "gaussian logits", "shuffled keys", "random weights", "shuffled columns"
NULLS = {
    GAUSSIAN: "independent normal logits with the row-centred variance of the head",
    SHUFFLED: "the same queries and keys, the keys dealt to other tokens",
    RANDOM: "queries and keys as random projections of the same tokens, with the same variance of the logits",
    COLUMNS: "the same points with every column shuffled by itself",
}

OTHER_TOKENS = "95 %, from the spread over random halves of the tokens (of many tokens: random 256, scaled)"
ALONG = "95 %, jackknife over eight stretches of the sequence"
NONE = "none"


class Definition(NamedTuple):
    """One number's meaning.

    Args:
        title: what it is called on a page.
        formula: how it is computed, in ASCII.
        meaning: what it says, a sentence.
        cannot_say: what it does not say, a sentence.
        null: which null tells most.
        interval: how its interval is made.
        unit: "", "tokens" or "nats".
        group: the heading that it stands under.
        least: what it cannot be below; an interval ends there.
        most: what it cannot be above.
    """

    title: str
    formula: str
    meaning: str
    cannot_say: str
    null: str = SHUFFLED
    interval: str = OTHER_TOKENS
    unit: str = ""
    group: str = ""
    least: float = 0.0
    most: float = math.inf


WORD, TOKEN, SPLIT = "is a density a fair word", "the token itself", "parts of the logits"
PLACE, SKILL = "place", "skill"
SEQUENCE, MODES, HEAT, BALANCE, DIMENSION = "along the sequence", "modes", "temperature", "balance", "dimension"

OF_POINTS = ("dimension", "bandwidth", "predicted_bandwidth", "density_spread")  # which heads do not have

DEFINITIONS: dict[str, Definition] = {
    "ess": Definition(
        "effective keys", "mean_i 1/sum_j A_ij^2",
        "How many keys a row averages over.",
        "Which keys they are: a thousand near ones and a thousand random ones count alike.",
        GAUSSIAN, unit="tokens", group=WORD),
    "ess_share": Definition(
        "effective keys of all", "mean_i 1/sum_j A_ij^2 / N",
        "1 is plain averaging, 1/N a choice of one key.",
        "Whether a longer input would keep the share or the number.",
        GAUSSIAN, group=WORD, most=1.0),
    "split_half": Definition(
        "agreement of split halves", "correlation over tokens of A' f and A'' f, each from half of the keys",
        "Near 1 the average does not depend on which keys happen to be there, so that their density is a fair word.",
        "Whether the limit is a diffusion: any smooth average over enough keys agrees with itself.",
        SHUFFLED, group=WORD, least=-1.0, most=1.0),
    "typicality": Definition(
        "typicality of the token", "mean_i sum_j A_ij [L_ij <= L_ii]",
        "Mass on keys that the token likes no better than itself: 1 if every token is its own minimiser.",
        "How far the better keys are, in space or in nats.",
        SHUFFLED, group=TOKEN, most=1.0),
    "gap": Definition(
        "gap to the top key", "mean_i max_j L_ij - L_ii",
        "How much better than the token its best key is, in nats.",
        "Whether many keys are better or one.",
        SHUFFLED, unit="nats", group=TOKEN),
    "own_top": Definition(
        "token its own top key", "share of rows whose largest logit is L_ii",
        "1 where the token is the minimiser of its own cost, so that attention has no jump.",
        "Alone, little: in one head of few tokens it is chance, and one nearby better key makes it 0.",
        SHUFFLED, group=TOKEN, most=1.0),
    "share_cost": Definition(
        "share of the cost D", "<C, C_D>/<C, C>, C the row-centred logits and C_D that of -D/2",
        "How much of what softmax sees is a symmetric cost between two tokens.",
        "Whether the cost is a distance; potential and cost overlap, half of which each is given (it may be negative).",
        GAUSSIAN, group=SPLIT, least=-math.inf),
    "share_potential": Definition(
        "share of the potential b", "<C, C_b>/<C, C>",
        "How much is a preference for keys that all queries share: an extra drift <grad b, grad f>.",
        "Whether it is the key's norm: norms change with coordinates that attention does not see.",
        GAUSSIAN, group=SPLIT, least=-math.inf),
    "share_circulation": Definition(
        "share of the circulation W", "<W, W>/<C, C>",
        "How much is irreversible and can be written as no potential.",
        "How much it moves the weights: see the total variation.",
        GAUSSIAN, group=SPLIT, most=1.0),
    "negative_cost": Definition(
        "pairs with D < 0", "share of pairs i != j with D_ij < 0",
        "Two tokens that like one another better than themselves: above 0, D is no metric.",
        "Whether D is a metric where it is positive.",
        GAUSSIAN, group=SPLIT, most=1.0),
    "tv_without_cost": Definition(
        "weights moved without D", "mean_i 1/2 sum_j |A_ij - A^_ij|, A^ from logits without -D/2",
        "How much of the weights the cost decides, 0 to 1.",
        "The parts do not add up: each is taken away alone.",
        GAUSSIAN, group=SPLIT, most=1.0),
    "tv_without_potential": Definition(
        "weights moved without b", "the same, without b",
        "How much of the weights the key potential decides.",
        "The parts do not add up: each is taken away alone.",
        GAUSSIAN, group=SPLIT, most=1.0),
    "tv_without_circulation": Definition(
        "weights moved without W", "the same, without W",
        "How much of the weights the circulation decides; the reversible spectrum is that of what is left.",
        "The parts do not add up: each is taken away alone.",
        GAUSSIAN, group=SPLIT, most=1.0),
    "locality": Definition(
        "locality", "mean_i sum_j A_ij |x_j - m_i|^2 / mean_j |x_j - mean|^2, m_i = sum_j A_ij x_j",
        "Spread of a row over spread of all tokens: small where attention looks at one place.",
        "That the place is the token's own: see the jump. Few effective keys make it small by themselves.",
        SHUFFLED, group=PLACE),
    "jump": Definition(
        "jump", "mean_i |m_i - x_i|^2 / mean_i sum_j A_ij |x_j - m_i|^2",
        "How far the row's mean is from the token, over the row's spread: small for a diffusion.",
        "Sampling alone gives about 1/(2 ESS), and keys dealt at random 1.",
        SHUFFLED, group=PLACE),
    "locality_values": Definition(
        "locality of values", "the same with values v_j for x_j",
        "Spread of a row in what is passed on.",
        "Where the tokens are: values may forget it.",
        SHUFFLED, group=PLACE),
    "jump_values": Definition(
        "jump of values", "the same with values v_j for x_j",
        "How far what is passed on is from the token's own value.",
        "Sampling alone gives about 1/(2 ESS), and keys dealt at random 1.",
        SHUFFLED, group=PLACE),
    "skill_self": Definition(
        "skill of the token itself",
        "1 - sum_i |(A f)_i - c (f_i - mean f) - mean A f|^2 / sum_i |(A f)_i - mean A f|^2, c by least squares",
        "Between-token variance of A f that the tokens' own features explain: near 1 for a short diffusion.",
        "That A f - f is a generator: the variance is of A f alone, of which a short diffusion changes little.",
        SHUFFLED, group=SKILL, least=-math.inf, most=1.0),
    "skill_first_order": Definition(
        "skill of linear attention", "the same for the first order of softmax in the logits, mean_j (1 + C_ij) f_j",
        "A baseline: near 1 the softmax is not needed, and anything that explains A explains C.",
        "That there is structure: weak random weights score 1 as well.",
        RANDOM, group=SKILL, least=-math.inf, most=1.0),
    "window": Definition(
        "window", "w with 95 % of the largest mass above chance within |j - i| <= w, interpolated",
        "How far along the sequence a row looks; the order of the rows is that of the tokens.",
        "Anything, where the mass within it is that of shuffled keys, or the order of the rows has no meaning.",
        SHUFFLED, ALONG, unit="tokens", group=SEQUENCE),
    "leak": Definition(
        "leak", "1 - (mass within the window - chance)/(1 - chance)",
        "Mass that restarts anywhere rather than near the token: 1 where position does not matter.",
        "Where the leak goes: the model sends it to the mean. A twentieth of what is near counts as leak.",
        SHUFFLED, ALONG, group=SEQUENCE, least=-math.inf),
    "step_mean": Definition(
        "mean step mu", "mean of j - i over the mass within the window above chance",
        "Drift along the sequence per layer; -1 is the previous token.",
        "Anything, where the leak is near 1.",
        SHUFFLED, ALONG, unit="tokens", group=SEQUENCE, least=-math.inf),
    "step_size": Definition(
        "root mean square step sigma", "root mean square of j - i over that mass",
        "Reach along the sequence per layer, its mean included.",
        "Anything, where the leak is near 1.",
        SHUFFLED, ALONG, unit="tokens", group=SEQUENCE),
    "window_skill": Definition(
        "skill of drift and diffusion with restart",
        "1 - sum |(A f)_i - prediction|^2 / sum |(A f)_i - mean A f|^2, prediction"
        " f + leak (mean f - f) + (1 - leak)(mu f' + sigma^2/2 f''), f the four longest cosines along the sequence",
        "Share of what attention makes of smooth functions of position that three numbers tell, nothing fitted to A f.",
        "What it does to features of the tokens, or to functions that vary within the window.",
        SHUFFLED, ALONG, group=SEQUENCE, least=-math.inf, most=1.0),
    "slow_modes": Definition(
        "slow modes", "eigenvalues of the reversible part above 1/2, the constant one not counted",
        "How many features outlive a layer.",
        "Whether they are features of this input or of the head.",
        GAUSSIAN, unit="", group=MODES),
    "second_eigenvalue": Definition(
        "second eigenvalue", "the largest eigenvalue of the reversible part below that of the constant",
        "How slowly the slowest feature is forgotten.",
        "What it is: see the labels of the modes.",
        GAUSSIAN, group=MODES, most=1.0),
    "irreversibility": Definition(
        "irreversibility", "1/2 sum_ij |pi_i A_ij - pi_j A_ji|, pi the stationary law",
        "Flux that does not balance, 0 to 1: how far the reversible spectrum is from that of A.",
        "Whether it comes from the circulation or from what softmax makes of it.",
        GAUSSIAN, group=MODES, most=1.0),
    "contraction": Definition(
        "contraction", "sum_i |(A f)_i - mean A f|^2 / sum_i |f_i - mean f|^2",
        "Between-token variance that is left after a layer.",
        "The speed of a deep network: residuals and other heads are not in it.",
        SHUFFLED, group=MODES),
    "effective_dimension": Definition(
        "effective dimension", "|C|^4 / |C'C|^2 (Frobenius), C the row-centred logits",
        "How many directions the logits use; d for points spread evenly on a sphere in R^d.",
        "The intrinsic dimension of the tokens.",
        RANDOM, group=HEAT),
    "temperature": Definition(
        "inverse temperature over critical",
        "beta/beta_c, beta = sd(C) sqrt(d), beta_c = (d-1) r/(1-r^2), r^2 = 1 - N^{-2/(d-1)}",
        "Above 1, as many independent keys on a sphere condense on the nearest; d the effective dimension, at least 2.",
        "Exact only for evenly spread keys of one norm; a smooth change at low dimension.",
        RANDOM, group=HEAT),
    "column_imbalance": Definition(
        "imbalance of keys", "1/2 mean_j |sum_i A_ij - 1|",
        "How far attention is from doubly stochastic, as Sinkhorn would make it: 0 is balanced.",
        "Which keys are preferred, and whether by b or by where queries are.",
        GAUSSIAN, group=BALANCE, most=1.0),
    "largest_key": Definition(
        "largest key", "max_j sum_i A_ij / N",
        "Share of all mass that a single key receives: near 1 for a sink.",
        "Whether its value matters: sinks often have small ones.",
        GAUSSIAN, group=BALANCE, most=1.0),
    "intrinsic_dimension": Definition(
        "intrinsic dimension", "two nearest neighbours, scikit-dimension's TwoNN",
        "Dimension of the tokens at the scale of nearest neighbours.",
        "Anything with fewer than a thousand tokens, where it is not computed; noise counts as dimension.",
        COLUMNS, NONE, group=DIMENSION),
    "dimension": Definition(
        "dimension of the kernel sum", "max over eps of 2 d log S/d log eps, S = mean_ij e^{-|x_i - x_j|^2/2 eps}",
        "Dimension at the scale where the kernel sum is steepest.",
        "Dimensions beyond about 8, for want of points; curvature and noise move it (a circle has 1.2).",
        COLUMNS, group=DIMENSION),
    "bandwidth": Definition(
        "suggested bandwidth", "eps of the steepest kernel sum",
        "A scale at which plain attention resolves the points.",
        "How large an error it leaves: see the bandwidth of least predicted error.",
        COLUMNS, group=DIMENSION),
    "predicted_bandwidth": Definition(
        "bandwidth of least predicted error", "suggest_bandwidth for the three leading principal coordinates",
        "Where bias and noise of the generator of plain attention balance, for coordinates of these points.",
        "The best one for another function, for many layers or for a spectrum: ask suggest_bandwidth.",
        COLUMNS, NONE, group=DIMENSION),
    "density_spread": Definition(
        "spread of log density", "standard deviation over points of log sum_{j != i} e^{-|x_i - x_j|^2/2 eps}",
        "0 for evenly spread points.",
        "The density at scales below the bandwidth; sampling alone gives about (number of neighbours)^{-1/2}.",
        COLUMNS, group=DIMENSION),
}  # fmt: skip
