"""Cards for notebooks: the stages of a `Flow` as forms, buttons, progress and tables.

Promises: a card calls only what a script can call, and follows runs that a script starts; a failed run leaves the
button usable; showing a card twice shows one state.  Must never hold logic of its own, call ``display()``, or fetch
anything from a network.
"""

from ectoolkit._optional import require

# Where one is missing this raises MissingDependencyError, and stages show themselves as HTML.
require("ipywidgets", feature="A card")
require("anywidget", feature="A card")
