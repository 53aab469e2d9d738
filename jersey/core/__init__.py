"""Foundations of every package: labels, errors, seeding, processes, console, atomic files and tables."""
