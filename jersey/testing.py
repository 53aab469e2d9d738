"""The tests that jersey runs on its own experiments, for packages with experiments of their own.

@pytest.mark.parametrize("name", testing.experiments("myteam.exps"))
def test_experiment(name: str, tmp_path: Path) -> None:
    testing.check_builds(name)
    testing.check_golden_print(name, Path(__file__).parent / "golden")
    testing.train_a_step(name, tmp_path)
"""

import os
from pathlib import Path
from typing import Any

from torchvision.transforms import v2

from jersey import config as configs
from jersey import experiment as stages
from jersey.config.paths import parameters
from jersey.core.packages import import_modules, source_files
from jersey.lint.checks import check
from jersey.lint.simulate import makes
from jersey.runs.folder import open_run
from jersey.synth.generate import generate

NUMBERS = ("0", "00", "01")  # labels of the synthetic crops
UPDATE = "UPDATE_GOLDEN"


def experiments(*modules: str) -> list[str]:
    """Imports modules as `--import` does, and returns the names of the experiments that they define, sorted.

    Args:
        *modules: dotted names, such as "myteam.exps"; of a package, each module directly in it.

    Raises:
        UserError: a module cannot be imported.
        ValueError: the modules define no experiment, so that a test over all would test nothing.
    """
    import_modules(modules)
    files = {name for module in modules for name in source_files(module)}
    names = [name for name in configs.experiment_names() if configs.get_experiment(name).__module__ in files]
    if not names:
        raise ValueError(f"{', '.join(modules)} define no experiment")
    return names


def check_builds(name: str) -> None:
    """Checks the config of an experiment as `launch.py` does, and builds it.

    Raises:
        UserError: the config violates a rule, or a part rejects its arguments.
    """
    config = configs.get_experiment(name)()
    check(config)
    assert isinstance(configs.build(config), stages.Experiment), f"{name} does not configure an Experiment"


def check_golden_print(name: str, folder: Path) -> None:
    """Compares the flat print of an experiment with `folder/name.txt`, which a review then shows.

    With UPDATE_GOLDEN=1 in the environment, the file is written first.

    Raises:
        AssertionError: the prints differ, or there is no file.
    """
    text, path = configs.as_text(configs.get_experiment(name)()), folder / f"{name}.txt"
    if os.environ.get(UPDATE):
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    lines = text.splitlines()
    changed = [f"- {line}" for line in before if line not in lines] + [
        f"+ {line}" for line in lines if line not in before
    ]
    assert lines == before, "\n".join([f"{path} differs; to accept this, run the test with {UPDATE}=1", *changed])


def train_a_step(name: str, folder: Path, *, size_px: int = 32, export: bool = True) -> None:
    """Trains a small version of an experiment for one step on synthetic crops, tests it, and exports it.

    Args:
        name: name of the experiment.
        folder: folder for the crops and the run.
        size_px: height and width of the network's input.
        export: whether the ONNX file is written and compared with torch, which takes longest.

    Raises:
        AssertionError: a metric is out of range, or the ONNX file disagrees with torch.
    """
    config = configs.get_experiment(name)()
    shrink(config, crops(folder / "crops"), size_px=size_px)
    config.trainer.limit_batches = 1
    experiment = configs.build(config)
    run = open_run(folder, name, "run", config_files={"config.txt": configs.as_text(config)})
    state = experiment.prepare(run, experiment.read_data())
    stages.fit(state)
    tested = stages.test(state)
    assert 0 <= tested.evaluation.metrics["acc_top1"] <= 1
    if export:
        assert stages.export(state, tested).parity.disagreements == []
        assert run.onnx.exists()


def crops(root: Path) -> Path:
    """Generates a few synthetic crops of the labels "0", "00" and "01" unless they exist, and returns `root`."""
    generate(root, numbers=NUMBERS, train=48, val=12, test=12, size_px=40, imbalance=2.0, workers=1)
    return root


def shrink(config: Any, root: Path, *, size_px: int = 32) -> None:
    """Changes any experiment so that it runs in seconds on the CPU: small crops, one epoch, random weights.

    Args:
        config: config of an `Experiment`.
        root: crops to train on, such as those of `crops`.
        size_px: height and width of the network's input.
    """
    config.data.root = str(root)
    config.data.generate = None
    config.data.labels = None
    if config.data.supplement:
        config.data.supplement.folder = str(root.with_name("supplement"))
    config.data.size_px = (size_px, size_px)
    config.data.batch_size = 16
    config.data.eval_batch_size = 8
    for parameter in parameters(config):
        if parameter.keys[:2] == ("module", "network") and parameter.keys[-1] == "weights":
            parameter.set(None)
        elif makes(parameter.value, v2.RandomResizedCrop):
            parameter.value.size = size_px
    config.trainer.epochs = 1
    config.trainer.accelerator = "cpu"
    config.profile = False
