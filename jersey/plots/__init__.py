"""Pictures of a run, each from numbers to a PIL image; the only place that knows matplotlib.

Curves and bars are drawn by matplotlib, object by object with the Agg canvas, never through pyplot, which keeps global
state; pictures of cells, crops and words by Pillow, which is much faster. Importing matplotlib costs 0.5 s, so
callbacks import a plot when they draw it.
"""
