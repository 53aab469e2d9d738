"""Each timed step updates its network."""

import pytest
import torch
from torch import nn

from jersey.bench import train_step


@pytest.mark.slow
def test_every_candidate_takes_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    updated: list[nn.Module] = []
    update = train_step._update

    def spy(network: nn.Module, *arguments: object, **settings: object) -> None:
        before = torch.cat([weight.detach().flatten() for weight in network.parameters()])
        update(network, *arguments, **settings)  # type: ignore[arg-type]
        after = torch.cat([weight.detach().flatten() for weight in network.parameters()])
        assert not torch.equal(after, before)
        updated.append(network)

    monkeypatch.setattr(train_step, "_update", spy)
    steps = train_step.candidates(architecture="resnet18", px=16, batch_size=4)
    for step in steps.values():
        step()
    assert len(updated) == len(set(updated)) == len(steps)  # one network per step
