"""Learned metrics: attention whose cost is trained, and what its diffusion then does.

Blocks whose attention can be exchanged, trained for all seeds at once, on data sets that come with the extra `learn`
(equinox, optax, scikit-learn, networkx). A trained layer becomes an `Attention` again: it can be asked for its metric,
its drift-diffusion and its spectrum.
"""

from importlib.util import find_spec

from attnflow._face import give_face
from attnflow.errors import ConfigError

_MISSING = [name for name in ("equinox", "optax", "sklearn", "networkx") if find_spec(name) is None]
if _MISSING:
    raise ConfigError(
        f"attnflow.learn needs {', '.join(_MISSING)}, which {'is' if len(_MISSING) == 1 else 'are'} not installed. "
        "Install the extra: pip install 'attnflow[learn]'."
    )
give_face(__name__, __file__)
