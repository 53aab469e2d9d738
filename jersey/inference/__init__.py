"""Reading numbers with the ONNX file alone: numpy, Pillow and onnxruntime, no torch."""

from jersey.inference.decision import Prediction
from jersey.inference.predictor import Predictor

__all__ = ["Prediction", "Predictor"]
