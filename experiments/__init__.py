"""The experiments are Python functions that return config graphs; importing this package registers all of them."""

from experiments import fiddlers, quickstart, reader, resnet18, resnet18_small, resnet50

__all__ = ["fiddlers", "quickstart", "reader", "resnet18", "resnet18_small", "resnet50"]
