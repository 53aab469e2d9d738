"""Trains an experiment, such as `python launch.py --exp=quickstart`; each flag below is tagged with its purpose."""

from jersey.cli.launch import launch

if __name__ == "__main__":
    launch("experiments")
