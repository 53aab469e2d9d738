"""Registers all experiments and fiddlers: functions that return a config, and functions that change one."""

from experiments import fiddlers, quickstart, reader, resnet18, resnet18_small, resnet50

__all__ = ["fiddlers", "quickstart", "reader", "resnet18", "resnet18_small", "resnet50"]
