"""The integer graph and its exact meaning.

Promises: numpy only; every result is a pure function of its arguments; what cannot be represented is refused,
never wrapped.  Must never import torch, tvm, pandas or a notebook library, and never touch hardware.

`types` and `graph` say what a model is, `arithmetic` and `ops` what it computes, `interpreter` runs it,
`verifier` says whether it keeps its own laws, `compare` and `metrics` say how two results differ,
`graph_file`, `manifest` and `deployment` keep it on disk.
"""
