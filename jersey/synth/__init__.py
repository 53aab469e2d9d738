"""Drawn crops of players' backs: a data set to start with, to test with, and to fill up rare numbers.

`generate.generate` draws a data set, `draw.draw_crop` one crop. Nothing here imports torch, so that drawing processes
start fast.
"""
