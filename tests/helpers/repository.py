"""The path of the checkout, and the numbers of the crops on which most tests train."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
NUMBERS = ("0", "00", "01")
