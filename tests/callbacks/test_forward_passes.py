"""Looking at a run costs no pass of the network: what callbacks show comes from the logits that were scored."""

from collections.abc import Callable
from pathlib import Path

import fiddle as fdl
import lightning as L
import pytest
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

import experiments  # noqa: F401  # its import registers them
from jersey import config as configs


class Count(Callback):
    """Counts the crops that the network gets, by whether it is training."""

    def __init__(self) -> None:
        self.crops = {True: 0, False: 0}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        network = pl_module.network
        assert isinstance(network, nn.Module)
        network.register_forward_pre_hook(self._count)

    def _count(self, network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.crops[network.training] += len(inputs[0])


@pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like
def test_each_crop_passes_the_network_once_an_epoch(shrink: Callable[[fdl.Buildable], None], tmp_path: Path) -> None:
    config = configs.get_experiment("resnet18_baseline")()
    shrink(config)
    config.trainer.epochs, config.trainer.limit_batches = 2, None
    experiment = configs.build(config)
    data = experiment.data(seed=0)
    data.setup()
    module = experiment.module(labels=data.labels, class_counts=data.class_counts, seed=0)
    trainer: L.Trainer = experiment.trainer(run_dir=tmp_path, loggers=[], run_state=module.run_state)
    count = Count()
    trainer.callbacks.append(count)  # type: ignore[attr-defined]  # Lightning sets it in a connector
    trainer.fit(module, datamodule=data)
    batches = len(data.splits["train"]) // data.batch_size
    assert count.crops == {True: 2 * batches * data.batch_size, False: 2 * len(data.splits["val"])}
