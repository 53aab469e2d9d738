"""Synthetic crops of players' backs: a data set to start with, to test with, and to fill up rare numbers.

`generate.generate` makes a data set, `crop.render_crop` one crop. Nothing here imports torch, so that rendering
processes start fast.
"""
