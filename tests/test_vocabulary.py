"""Replaced words must not come back: sources, tests and pages use the words of docs/glossary.md."""

import re
from collections.abc import Iterator
from pathlib import Path

from helpers.repository import REPOSITORY

REPLACEMENTS = {
    # Data
    "fit_mode": "resize_mode",
    "unreadable": "illegible",
    "auroc_readable": "auroc_legible",
    "complaints": "problems",
    "complain": "on_problem",
    "TwoLabels": "ConflictingLabels",
    "all_in_one": "combined",
    "require_clean": "validate_name",
    "as_used": "select_illegible",
    "tell_left_out": "log_excluded",
    "picture_of": "read_meta",
    "UnreadImage": "ImageReadError",
    "DecodedSplit": "InMemorySplit",
    "emphasis": "imbalance_summary",
    "drawn_counts": "sampled_counts",
    "weight_power": "class_weight_power",
    "weights_on_top_of_sampler": "allow_weights_and_sampler",
    "DisjointSets": "UnionFind",
    "likeness": "match_kind, similarity",
    # Synthetic crops and augmentation
    "drawn": "generated, rendered or synthetic; sampled; plotted",
    "draw_unless_there": "ensure_synthetic",
    "draw_benchmark": "ensure_benchmark",
    "draw_crop": "render_crop",
    "shoot": "photograph",
    "RareNumbers": "SyntheticSupplement",
    "own_share": "lam, fraction",
    "Jpeg": "RandomJPEG",
    "LowResolution": "RandomDownscale",
    # Networks
    "ByCrop": "PerImageStandardize",
    "ByImageNet": "ImageNetNormalize",
    "open_logits": "open_vocabulary_logits",
    "open_probabilities": "open_vocabulary_probabilities",
    "open_numbers": "vocabulary",
    "taken_for_seen": "unseen_as_seen",
    "same_KN": "label_to_number_KN",
    # Training and callbacks
    "scored_weights": "eval_weights",
    "load_scored_weights": "load_best_weights",
    "training_input": "prepare_batch",
    "gathers_too_much": "accumulation_error",
    "is_uphill": "in_ascent_pass",
    "two_passes": "wrap_closure",
    "counted_generator": "derived_generator",
    "own_counters": "rank_counters",
    "FiniteLoss": "StopOnNonFinite",
    "after_steps": "max_steps",
    "SampleGrid": "InputGrid",
    "predictions_table": "predictions_csv",
    # Evaluation
    "chosen_crops": "ranked",
    "surest": "most confident",
    "surest_mistakes": "confident_errors",
    "least_sure": "least_confident",
    "how sure": "confidence",
    "sureness": "confidence",
    "as sure as right": "perfect calibration",
    "read right": "correct",
    "read wrong": "incorrect, misclassified",
    "right_N": "correct_N",
    "true number": "label",
    "rank of the truth": "label_rank",
    "HOTTEST": "MAX_TEMPERATURE",
    "by_chance": "expected_if_calibrated",
    "ByFrames": "TrackletAccuracy",
    "is_shown": "is_significant",
    "what it is worth": "its accuracy, its gain",
    # Export and inference
    "shipping": "pipeline, export",
    "Shipped": "ExportResult",
    "DeployedNetwork": "ExportModule",
    "facts": "metadata, summary",
    "sealed": "with_checksum",
    "read_sealed": "read_verified",
    "onnx_variant_agreement": "onnx_variant_min_agreement",
    # Runs and core
    "patience.py": "timeouts.py",
    "OutOfPatience": "CallTimeout",
    "take_back_signals": "reinstall_handlers",
    "on_signals": "handle_signals",
    "EpochLine": "EpochLogger",
    "wait_for_all": "barrier",
    "of_rank_zero": "broadcast",
    "has_been_said": "error_was_printed",
    "in_turn": "interleaved_times",
    "Verbatim": "CodeBlock",
    # Configs and benches
    "Mismatch": "TypeMismatch",
    "compounds": "interactions",
    "survival": "label_preservation",
    "fates": "outcomes",
    "rivals": "contrast_classes, baselines",
    "drop_in": "runtime_parity",
    # Files of a run
    "history.png": "curves.png",
    "samples_train.png": "inputs_train.png",
    "mistakes_val": "errors_val",
    "mistakes_test": "errors_test",
    # American spelling
    "colour": "color",
    "grey": "gray",
    "normalisation": "normalization",
    "optimiser": "optimizer",
    "labelled": "labeled",
    "learnt": "learned",
}
"""The replacement of each word or identifier, which is matched as a whole."""
ALLOWED = {
    "jersey/core/labels.py": {"unreadable"},  # a data set may still call its folder so
    "tests/helpers/faulty_trees.py": {"unreadable"},
    "docs/data.md": {"unreadable"},
}

_ALTERNATIVES = "|".join(re.escape(word) for word in sorted(REPLACEMENTS, key=len, reverse=True))
WORD = re.compile(rf"(?<!\w)({_ALTERNATIVES})(?!\w)", re.IGNORECASE)
BY_LOWER = {word.lower(): word for word in REPLACEMENTS}


def replaced_words(relative: str, text: str) -> Iterator[str]:
    """One message for each replaced word in the path (as line 0) and the text of a file."""
    for number, line in enumerate([relative, *text.splitlines()]):
        for found in WORD.finditer(line):
            word = BY_LOWER[found[1].lower()]
            # A name with capitals or underscores is an identifier; a word may also begin a sentence or be a constant.
            is_word = word.islower() and "_" not in word
            is_same = found[1] == word or (is_word and found[1] in (word.capitalize(), word.upper()))
            if is_same and word not in ALLOWED.get(relative, ()):
                yield f"{relative}:{number}: {found[1]!r} was replaced by: {REPLACEMENTS[word]}"


def _files() -> Iterator[Path]:
    for folder in ("jersey", "experiments", "tests"):
        yield from sorted((REPOSITORY / folder).rglob("*.py"))
    yield from (REPOSITORY / "launch.py", REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))


def test_replaced_words_do_not_come_back() -> None:
    messages: list[str] = []
    for path in _files():
        if path != Path(__file__):
            relative = path.relative_to(REPOSITORY).as_posix()
            messages += replaced_words(relative, path.read_text(encoding="utf-8"))
    assert not messages, "\n".join(["", *messages])


def test_a_replaced_word_is_found_as_a_whole_word_only() -> None:
    text = (
        "fit_mode = FIT_MODE\nrefit_mode_ = Grey.greyhound\nThe grey one\nclass ByCrop: bycrop\nUNREADABLE: read\nright"
    )
    assert list(replaced_words("jersey/patience.py", text)) == [
        "jersey/patience.py:0: 'patience.py' was replaced by: timeouts.py",
        "jersey/patience.py:1: 'fit_mode' was replaced by: resize_mode",
        "jersey/patience.py:2: 'Grey' was replaced by: gray",
        "jersey/patience.py:3: 'grey' was replaced by: gray",
        "jersey/patience.py:4: 'ByCrop' was replaced by: PerImageStandardize",
        "jersey/patience.py:5: 'UNREADABLE' was replaced by: illegible",
    ]
    assert list(replaced_words("docs/data.md", "a folder unreadable/")) == []
