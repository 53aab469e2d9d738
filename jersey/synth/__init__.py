"""Synthetic crops of players' backs, for first runs, for tests, and as a supplement for rare numbers.

`generate.generate` generates a data set, `crop.render_crop` renders one crop. Nothing here imports torch, so that
rendering processes start fast.
"""
