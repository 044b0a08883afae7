"""Which link between the float model and the board is broken, at which layer and element.

Promises: equal means every element, close is a number; the search names a layer only where everything that the layer
reads was seen to be equal.  Must never run on a device by itself: it is given functions that do
(`ectoolkit.workflow.verdicts`).
"""

from ectoolkit.analysis.grades import Grade
from ectoolkit.analysis.verdict.chain import Member, Verdict, judge
from ectoolkit.analysis.verdict.ladder import Rung, Standing
from ectoolkit.analysis.verdict.links import Link, Must
from ectoolkit.analysis.verdict.location import Location
from ectoolkit.analysis.verdict.neighbourhood import Neighbourhood
from ectoolkit.analysis.verdict.proof import InputFacts, InputProof, facts_of
from ectoolkit.analysis.verdict.search import layer_by_cutting, locate_by_cutting, locate_by_taps
from ectoolkit.analysis.verdict.suspects import explain_input

__all__ = [
    "Grade",
    "InputFacts",
    "InputProof",
    "Link",
    "Location",
    "Member",
    "Must",
    "Neighbourhood",
    "Rung",
    "Standing",
    "Verdict",
    "explain_input",
    "facts_of",
    "judge",
    "layer_by_cutting",
    "locate_by_cutting",
    "locate_by_taps",
]
