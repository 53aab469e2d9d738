"""Predicts jersey numbers with an exported file, numpy, Pillow and onnxruntime, without torch."""

from jersey.inference.decision import Prediction
from jersey.inference.predictor import Predictor

__all__ = ["Prediction", "Predictor"]
