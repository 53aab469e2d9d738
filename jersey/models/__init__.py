"""Provides the networks, which map uint8 crops to logits."""
