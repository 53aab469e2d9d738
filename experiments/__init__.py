"""The experiments: Python functions that return config graphs. Importing this package registers all of them."""

from experiments import fiddlers, quickstart, resnet18, resnet18_small, resnet50

__all__ = ["fiddlers", "quickstart", "resnet18", "resnet18_small", "resnet50"]
