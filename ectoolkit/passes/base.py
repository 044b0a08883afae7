"""What a pass is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ectoolkit.core.graph import Graph
from ectoolkit.core.verifier import verify
from ectoolkit.errors import GraphError, PostconditionError


class Pass(ABC):
    """A rewrite: ``new_graph = SomePass()(graph)``.  The old graph is untouched."""

    def __call__(self, graph: Graph) -> Graph:
        """Check, rewrite, check.

        Raises:
            PreconditionError: the graph is not one this pass is for.
            PostconditionError: the rewrite broke a law; a bug in ectoolkit.
        """
        self.requires(graph)
        rewritten = self.rewrite(graph)
        try:
            verify(rewritten)
        except GraphError as error:
            raise PostconditionError(
                f"{type(self).__name__} made an invalid graph of {graph.name}: {error}. "
                "This is a bug in ectoolkit; please report it with the model"
            ) from error
        self.ensures(rewritten)
        return rewritten

    def requires(self, graph: Graph) -> None:
        """Raise `PreconditionError` where the graph is not one this pass is for."""

    @abstractmethod
    def rewrite(self, graph: Graph) -> Graph:
        """The rewrite itself."""

    def ensures(self, graph: Graph) -> None:
        """Raise `PostconditionError` where the result is not what the pass promises."""
