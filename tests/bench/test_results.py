"""The table and the numbers of a bench say the same of its times."""

import pytest

from jersey.bench.results import as_json, table

TIMES_S = {"base": [1.0, 2.0, 10.0], "twice": [0.5, 1.0, 5.0], "mixed": [1.0, 1.0, 20.0]}


def test_the_table_says_what_the_json_says() -> None:
    text = table(TIMES_S, against="base", unit="crops", amount=10)
    assert [line.split()[0] for line in text.splitlines()[1:]] == list(TIMES_S)
    assert "2.000 (2.000 to 2.000)" in text
    assert "2000.0" in text  # the base's median, in ms
    numbers = as_json(TIMES_S, against="base")
    assert numbers["twice"] == pytest.approx({"median_ms": 1000.0, "speed": 2.0, "low": 2.0, "high": 2.0})
    assert numbers["mixed"] == pytest.approx({"median_ms": 1000.0, "speed": 1.0, "low": 0.75, "high": 1.5})
