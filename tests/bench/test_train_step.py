"""Each timed step updates its network."""

import pytest
import torch
from torch import nn

from jersey.bench import train_step
from jersey.core.errors import UserError


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
    monkeypatch.setattr(torch._dynamo.config, "disable", True)  # compiling takes minutes on a CPU
    steps = train_step.candidates(architecture="resnet18", px=16, batch_size=4, compile_modes=("default",))
    for step in steps.values():
        step()
    assert len(updated) == len(set(updated)) == len(steps)  # one network per step
    compiled = [step for step, network in zip(steps, updated, strict=True) if network._compiled_call_impl is not None]
    assert compiled == ["bare step, default", "jersey, default"]


def test_an_unknown_mode_of_torch_compile_is_an_error() -> None:
    with pytest.raises(UserError, match="unknown modes: fast; use some of default, reduce-overhead"):
        train_step.measure(compile_modes=("fast",))
