"""What onnxruntime computes on."""

from collections.abc import Sequence

import onnxruntime

from jersey.core.errors import UserError

CPU = "CPUExecutionProvider"
BY_NAME = {"cpu": CPU, "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
BY_DEFAULT = ("CUDAExecutionProvider", CPU)
"""Without TensorRT, which builds an engine for each size of crops, and that takes minutes: it has to be asked for."""


def chosen_providers(wanted: Sequence[str] | None) -> list[str]:
    """onnxruntime's names, the preferred first; the CPU, last, takes what the others cannot.

    Args:
        wanted: "cpu", "cuda", "tensorrt" or onnxruntime's names; None for the GPU where there is one.

    Raises:
        UserError: one of them is not there.
    """
    there = onnxruntime.get_available_providers()
    if wanted is None:
        return [provider for provider in BY_DEFAULT if provider in there]
    providers = [BY_NAME.get(name.lower(), name) for name in ([wanted] if isinstance(wanted, str) else wanted)]
    for name in providers:
        if name not in there:
            raise _missing(name, f"this onnxruntime has {', '.join(map(_short, there))}")
    return [*dict.fromkeys([*providers, CPU])]


def require_started(session: onnxruntime.InferenceSession, wanted: Sequence[str] | None) -> None:
    """Refuses a session that had to do without a provider that was asked for, as where CUDA's libraries are missing."""
    started = session.get_providers()
    for name in chosen_providers(wanted) if wanted is not None else []:
        if name not in started:
            raise _missing(name, f"it could not be started here, only {', '.join(map(_short, started))}")


def _missing(provider: str, why: str) -> UserError:
    return UserError(
        f"the provider {_short(provider)} is not there: {why}; take one of these, or install what it needs "
        "(onnxruntime-gpu and the libraries of the GPU)"
    )


def _short(provider: str) -> str:
    return next((name for name, full in BY_NAME.items() if full == provider), provider)
