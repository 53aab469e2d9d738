"""Train image classifiers of basketball jersey numbers and leave a checked ONNX model."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("jersey")
except PackageNotFoundError:  # a checkout on the Python path, which is not installed
    __version__ = "not installed"
