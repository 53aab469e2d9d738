"""From a figure to a picture that holds all of it."""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

DOTS_PER_IN = 100
MARGIN_IN = 0.15


def rendered(figure: Figure) -> Image.Image:
    """The figure as an RGB image, grown to hold what stands around its axes: long names, legends, titles."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_figure(
        buffer,
        dpi=DOTS_PER_IN,
        format="png",
        bbox_inches="tight",
        pad_inches=MARGIN_IN,
        pil_kwargs={"compress_level": 1},
    )
    return Image.open(buffer).convert("RGB")
