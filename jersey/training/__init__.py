"""The training module, its trainer, losses, optimizers and schedules."""
