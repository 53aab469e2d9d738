"""Measures ways to correct the label prior of trained networks after training (post-hoc).

    python -m jersey.bench.prior_correction runs/resnet18_small_no_balance

Each row of the table is one way, with the mean and the standard deviation over the runs of the accuracy on the test
split, on all numbers and on the ten that are rarest in train:

- none: the network as it is;
- log prior: `logits - log(prior)`, where the prior is the frequency of a number in train, as in Menon et al. 2021
  (https://arxiv.org/abs/2007.07314);
- scaled log prior: `logits - tau * log(prior)`, with the `tau` of the highest accuracy on the validation split;
- bias: `logits + bias`, with the bias of each number that minimizes the cross-entropy on the validation split.

The last two are only comparable on a validation split whose numbers are as frequent as those of the test split.

Shapes: N crops, K numbers.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from jersey import config as configs
from jersey.bench import harness
from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.core.tables import format_table, mean_and_spread
from jersey.data.datamodule import JerseyDataModule
from jersey.lint.checks import load
from jersey.runs.folder import BEST_CHECKPOINT, LABELS
from jersey.training.module import JerseyModule

RARE = 10
TAUS = tuple(step / 20 for step in range(31))  # 0 to 1.5


def corrected(
    logits_val_NK: Tensor, targets_val_N: Tensor, logits_test_NK: Tensor, log_prior_K: Tensor
) -> dict[str, Tensor]:
    """Returns the logits of the test split by the name of the correction, each float [N,K]."""
    tau = max(TAUS, key=lambda tau: _accuracy(logits_val_NK - tau * log_prior_K, targets_val_N))
    return {
        "none": logits_test_NK,
        "log prior": logits_test_NK - log_prior_K,
        "scaled log prior": logits_test_NK - tau * log_prior_K,
        "bias": logits_test_NK + fitted_bias(logits_val_NK, targets_val_N),
    }


def fitted_bias(logits_NK: Tensor, targets_N: Tensor) -> Tensor:
    """Returns the bias [K] that minimizes the cross-entropy of `logits_NK + bias`, a convex problem; its sum is 0."""
    bias_K = torch.zeros(logits_NK.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([bias_K], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = functional.cross_entropy(logits_NK + bias_K, targets_N)
        value.backward()
        return value

    optimizer.step(loss)
    return bias_K.detach() - bias_K.detach().mean()


def _accuracy(logits_NK: Tensor, targets_N: Tensor) -> float:
    return (logits_NK.argmax(dim=1) == targets_N).double().mean().item()


@torch.inference_mode()
def _logits(module: JerseyModule, data: JerseyDataModule, split: str) -> Tensor:
    return torch.cat([module.network.eval()(images) for images in data.decoded[split].images_NCHW.split(250)]).clone()


def _scores(run: Path) -> dict[str, tuple[float, float]]:
    """Returns accuracy on all and on the rarest numbers of the test split, by the name of the correction."""
    _, config = load(run)
    experiment = configs.build(config)
    data = experiment.data(seed=experiment.seed, illegible="drop")
    data.setup()
    labels = Labels.load(run / LABELS)
    prior_K = torch.tensor(data.class_counts, dtype=torch.float32)
    targets = {
        name: torch.tensor([labels.names.index(each) for each in data.splits[name].labels]) for name in ("val", "test")
    }
    module = experiment.best_module(run)
    logits_test_NK = _logits(module, data, "test")
    ways = corrected(_logits(module, data, "val"), targets["val"], logits_test_NK, prior_K.div(prior_K.sum()).log())
    is_rare_N = torch.isin(targets["test"], prior_K.argsort()[:RARE])
    return {
        name: (_accuracy(logits_NK, targets["test"]), _accuracy(logits_NK[is_rare_N], targets["test"][is_rare_N]))
        for name, logits_NK in ways.items()
    }


def measure(folder: Path) -> dict[str, Any]:
    """Prints the table.

    Args:
        folder: folder of the finished runs of one experiment, such as runs/resnet18_small_no_balance.
    """
    runs: Sequence[Path] = sorted(path.parent.parent for path in folder.glob(f"*/{BEST_CHECKPOINT}"))
    if not runs:
        raise UserError(f"{folder} contains no run with a checkpoint; name a folder such as runs/resnet18_small")
    by_way: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for run in runs:
        for name, scores in _scores(run).items():
            by_way[name].append(scores)
    rows = [["", "all", "ten rarest"]]
    rows += [[name, *map(mean_and_spread, zip(*scores, strict=True))] for name, scores in by_way.items()]
    print(f"{folder}, {len(runs)} runs\n" + "\n".join(format_table(rows)) + "\n", flush=True)
    return {name: [round(all_, 4) for all_, _ in scores] for name, scores in by_way.items()}


if __name__ == "__main__":
    harness.command("prior_correction", __doc__, measure)
