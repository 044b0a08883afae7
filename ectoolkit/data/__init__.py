"""Models and photos to work on: what goes into the toolkit.

Promises: the same call gives the same images in the same order and the same weights; every model says where
its weights came from; a set of images of any length needs the memory of one.

Must never: import torch, torchvision or PIL when it is imported; read the network, except where torchvision
is asked for weights; run code from a checkpoint; ship a photo of its own.
"""

from ectoolkit.data.folder import image_folder
from ectoolkit.data.image_set import ImageSet
from ectoolkit.data.models import LoadedModel, load_model
from ectoolkit.data.photos import sample_photos
from ectoolkit.data.preprocess import IMAGENET, Preprocess

__all__ = [
    "IMAGENET",
    "ImageSet",
    "LoadedModel",
    "Preprocess",
    "image_folder",
    "load_model",
    "sample_photos",
]
