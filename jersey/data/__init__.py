"""Turns image files on disk into batches on the device."""
