"""Fuzzes what jersey reads from others, for so long.

    PYTHONPATH=tests python -m robustness.fuzz --seconds=60 [--target=images] [--atheris]

Prints a line for each kind of input (tried, refused, accepted, defects) and a last line of JSON. Exit code 1 after a
defect, with the smallest example of it.

With `--atheris` libFuzzer chooses the examples, by which lines of jersey they reach: `PYTHONPATH=tests uv run --with
atheris python -m robustness.fuzz --atheris --target=annotations`. It prints a line of its own for what it finds.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis

BATCH = 100  # examples between two looks at the clock


def main() -> int:
    """Fuzzes, prints, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="PYTHONPATH=tests python -m robustness.fuzz")
    parser.add_argument("--seconds", type=float, default=60, help="for all targets together")
    parser.add_argument("--target", help="this one alone")
    parser.add_argument("--seed", type=int, default=0, help="other examples")
    parser.add_argument(
        "--atheris", action="store_true", help="choose examples by coverage; needs the package, and a target"
    )
    flags = parser.parse_args()
    if flags.atheris:
        with_atheris(flags.target, flags.seconds)
    from robustness.fuzz.fuzz_targets import TARGETS

    if flags.target not in (None, *TARGETS):
        parser.error(f"--target is one of {', '.join(TARGETS)}")
    names = [flags.target] if flags.target else list(TARGETS)
    results = {name: fuzz(name, flags.seconds / len(names), flags.seed) for name in names}
    print(json.dumps({"seconds": flags.seconds, "seed": flags.seed, "targets": results}))
    return 1 if any(each["defects"] for each in results.values()) else 0


def fuzz(name: str, seconds: float, seed: int) -> dict[str, int]:
    """Fuzzes one target until the time is over, or a defect is found; prints its line."""
    counts: Counter[str] = Counter()
    end, defects = time.monotonic() + seconds, 0
    with tempfile.TemporaryDirectory() as place:
        while time.monotonic() < end and not defects:
            try:
                attempt(name, Path(place), counts, seed)()
            except Exception as error:
                defects += 1
                print("\n  ".join([f"{name}: {type(error).__name__}: {error}", *getattr(error, "__notes__", [])]))
            seed += 1
    found = {"tried": counts.total(), "refused": counts["refused"], "accepted": counts["accepted"], "defects": defects}
    print(f"{name:<14}", *(f"{what} {count:>7,} " for what, count in found.items()), flush=True)
    return found


def attempt(name: str, place: Path, counts: Counter[str], seed: int) -> Callable[[], None]:
    """A batch of examples, as hypothesis makes them."""
    from robustness.fuzz.fuzz_targets import TARGETS, outcome

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=BATCH, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(TARGETS[name].examples)
    def batch(example: Any) -> None:
        counts[outcome(TARGETS[name], example, place / "example")] += 1

    return batch


def with_atheris(name: str, seconds: float) -> None:
    """Lets libFuzzer choose the bytes from which hypothesis makes examples; it ends the process itself."""
    import atheris

    with atheris.instrument_imports(include=["jersey"]):
        import fuzz_targets  # noqa: F401  # imports what is watched

    batch: Any = attempt(name, Path(tempfile.mkdtemp()), Counter(), 0)
    atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}"], batch.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
