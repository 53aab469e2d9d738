"""Tables as aligned text and as Markdown."""

from jersey.core.tables import format_table, markdown_table


def test_words_are_aligned_to_the_left_and_numbers_to_the_right_without_trailing_spaces() -> None:
    rows = [("label", "train", "all"), ("00", "1,200", ""), ("7", "6", "6")]
    assert format_table(rows) == ["label  train  all", "00     1,200", "7      6      6"]
    assert format_table(rows, is_numeric=True) == ["label  train  all", "00     1,200", "7          6    6"]


def test_a_markdown_table_has_a_rule_below_its_header() -> None:
    assert markdown_table([("", "A"), ("x|y", "1")]) == ["|  | A |", "| --- | --- |", "| x\\|y | 1 |"]
