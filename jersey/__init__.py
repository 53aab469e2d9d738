"""Train image classifiers of basketball jersey numbers and leave a checked ONNX model."""

import logging
import os

# Both libraries read these when they are first imported, which other libraries may do.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime sends usage data to its vendor by default
logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it logs that it builds a cache of fonts, or cannot keep one
