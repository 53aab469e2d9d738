"""Networks from uint8 crops to logits."""
