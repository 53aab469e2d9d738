"""A GPU whose tensors have a device, a shape and a dtype, but no values, on a machine without a GPU.

An operation on tensors of two devices raises an error, as on a GPU, and so does one that copies a value to the host.
Gradients are not computed, because torch's autograd engine asks the driver for the device.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

GPU = torch.device("cuda", 7)  # augmentations cache constants by device, and no other test uses this one


class FakeGenerator(torch.Generator):
    """Stands in for a generator of any device."""

    def __new__(cls, device: torch.device | str = "cpu") -> "FakeGenerator":
        self = super().__new__(cls)
        self.fake_device = torch.device(device)
        return self

    @property
    def device(self) -> torch.device:  # type: ignore[override]  # an attribute there
        return self.fake_device


class FakeGpu(FakeTensorMode):
    """Inside of its `with` statement, new tensors have no values, and are on the GPU if their device is `GPU`."""

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)  # a tensor that was not moved then is one on the CPU

    def move(self, module: nn.Module) -> nn.Module:
        """Moves parameters and buffers, and nothing else, as `Module.to` does, which needs tensors with values."""
        for each in module.modules():
            for tensors in (each._parameters, each._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        moved = self.from_tensor(tensor.detach()).to(GPU)
                        tensors[name] = nn.Parameter(moved) if isinstance(tensor, nn.Parameter) else moved
        return module


_GPU = FakeGpu()  # tensors of two modes cannot be combined, and some are cached


@contextmanager
def fake_gpu() -> Iterator[FakeGpu]:
    """Runs the body of the `with` statement on the GPU without values."""
    with pytest.MonkeyPatch.context() as patch, _GPU:
        patch.setattr(torch, "Generator", FakeGenerator)
        yield _GPU
