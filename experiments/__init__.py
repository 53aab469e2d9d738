"""The experiments of this repository; `launch.py` finds each file of this folder."""
