"""Any exportable float module, as a plan of the integer graph it will become.

``torch.export`` captures, torchao folds batch norm, `rules` say what each operation becomes; grids come later, from
statistics (`ectoolkit.quantization`).
"""

from ectoolkit.frontends.exported.capture import capture
from ectoolkit.frontends.exported.plan import FloatLayer, FloatNetwork
from ectoolkit.frontends.exported.rules import known_operations

__all__ = ["FloatLayer", "FloatNetwork", "capture", "known_operations"]
