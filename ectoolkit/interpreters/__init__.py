"""Ways to run a graph exactly: the definition itself, and a fast form of it on torch.

Promises: whichever engine runs, every element of every tensor is the one that `ectoolkit.core.interpreter` gives.  Must
never compute anything that is not proven equal: what has no fast form runs by its definition.
"""

from ectoolkit.interpreters.engines import ENGINES, LayerForm, explain, interpret, trace

__all__ = ["ENGINES", "LayerForm", "explain", "interpret", "trace"]
