"""Predicts jersey numbers with an exported file, numpy, Pillow and onnxruntime, without torch."""

from jersey.core.errors import UserError
from jersey.inference.decision import Prediction
from jersey.inference.predictor import Predictor
from jersey.inference.queue import PredictionQueue

__all__ = ["Prediction", "PredictionQueue", "Predictor", "UserError"]
