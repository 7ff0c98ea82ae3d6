"""Independent witnesses: closed forms and references that import nothing from attnflow and no JAX.

Conventions: attention weights are exp(-D / 2 eps) with D = |x - y|^2 unless stated otherwise, so that one
layer tends to e^{eps L} with L f = 1/2 Lap f + <grad log p, grad f> = div(p^2 grad f) / (2 p^2).  [RZ]
"""
