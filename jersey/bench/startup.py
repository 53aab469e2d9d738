"""How long a command takes before it does anything, beside importing the libraries that it cannot do without.

    python -m jersey.bench.startup --rounds=5

Run it in the repository root. Every round starts each command once, in turn, so that a slow minute of the machine
hits all alike; differences are taken within a round.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

LIBRARIES = "import torch, torchvision, lightning"
COMMANDS = {
    "libraries": ["-c", LIBRARIES],
    "--list": ["launch.py", "--list"],
    "--print_config": ["launch.py", "--exp=resnet18_baseline", "--print_config"],
    "--diff": ["launch.py", "--exp=resnet50_baseline", "--diff=resnet18_baseline"],
}


def measure(rounds: int) -> dict[str, list[float]]:
    """Seconds of each command, a value a round, after one round that warms the disk's cache."""
    times_s: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):
        for name, words in COMMANDS.items():
            started = time.perf_counter()
            done = subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=False)
            times_s[name].append(time.perf_counter() - started)
            if done.returncode not in (0, 1):  # 1: a difference was found
                raise RuntimeError(f"{name} failed")
    return {name: values[1:] for name, values in times_s.items()}


def main() -> None:
    """Prints medians, and what each command adds to the import of the libraries."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    times_s = measure(parser.parse_args().rounds)
    print(f"{'command':<16} {'median s':>9} {'added s':>9} {'spread s':>9}")
    result = {}
    for name, values in times_s.items():
        added = [value - base for value, base in zip(values, times_s["libraries"], strict=True)]
        row = (statistics.median(values), statistics.median(added), max(added) - min(added))
        result[name] = dict(zip(("median_s", "added_s", "spread_s"), [round(each, 2) for each in row], strict=True))
        print(f"{name:<16} {row[0]:9.2f} {row[1]:9.2f} {row[2]:9.2f}")
    print(json.dumps({"bench": "startup", "libraries": LIBRARIES, **result}))


if __name__ == "__main__":
    main()
