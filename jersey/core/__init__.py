"""Provides what every package builds on: labels, errors, seeding, processes, console, atomic files and tables."""
