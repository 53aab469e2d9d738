"""Augments whole batches of crops on the device."""
