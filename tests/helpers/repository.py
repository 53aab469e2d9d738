"""Where the checkout lies, and the numbers of the crops that most tests train on."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
NUMBERS = ("0", "00", "01")
