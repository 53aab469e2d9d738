"""The module, its trainer, and what a training step is made of."""
