"""Networks that map uint8 crops to logits."""
