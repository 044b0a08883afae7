"""Quantized TorchScript, as the U50 guide makes it, to `Graph`.

``fuse_model`` → ``get_default_qconfig('fbgemm')`` → ``prepare`` → calibrate → ``convert`` → ``torch.jit.trace``.
`walk` follows the traced modules, `rules` turns one torch operation into nodes, `importer` is the door.
"""

from ectoolkit.frontends.torchscript.importer import import_torchscript

__all__ = ["import_torchscript"]
