"""Figures of a run, each a function from numbers to a PIL image; the only package that imports matplotlib.

Curves and bars are plotted through matplotlib's objects on the Agg canvas, never through pyplot, which keeps global
state. Figures of cells, crops and text are made with Pillow, which is much faster. Importing matplotlib takes 0.5 s, so
callbacks import a plot only when they need it.
"""
