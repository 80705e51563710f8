"""The slots of a model: the parameters and buffers that the loader fills with weights.

    for slot in slots(module): settle(slot, tensor)

The loader does not use `from_pretrained`: for a missing or misshapen tensor, that function only warns and continues
with random values. Knows modules and tensors; neither files nor architectures. Runs on the engine thread.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from dgls_engine.model.packing import Packing


@dataclass(frozen=True, slots=True)
class Slot:
    """One tensor of the model: its names, and the (module, attribute) pairs that hold it. Tied tensors have several."""

    names: tuple[str, ...]
    shape: tuple[int, ...]
    owners: tuple[tuple[nn.Module, str], ...]

    @property
    def is_parameter(self) -> bool:
        module, attribute = self.owners[0]
        return attribute in module._parameters


@dataclass(frozen=True, slots=True)
class Site:
    """Weights that are packed together: the modules that share them, and their slots, [E, N, K] of experts or [N, K] of
    dense layers. `least`: what they get instead of int4 and fp8, which would cost them too much."""

    modules: tuple[nn.Module, ...]
    slots: tuple[Slot, ...]
    least: Packing | None = None

    def packing(self, wanted: Packing) -> Packing:
        return self.least if self.least is not None and wanted in ("int4", "fp8") else wanted


def slots(model: nn.Module) -> list[Slot]:
    """Each parameter and each stored buffer once. Tied parameters are one tensor object, so they share a slot."""
    tensors: dict[int, tuple[list[str], Tensor, list[tuple[nn.Module, str]]]] = {}
    for prefix, module in model.named_modules():
        for attribute, tensor in {**module._parameters, **module._buffers}.items():
            if tensor is None or attribute in module._non_persistent_buffers_set:
                continue
            names, _, owners = tensors.setdefault(id(tensor), ([], tensor, []))
            names.append(f"{prefix}.{attribute}" if prefix else attribute)
            owners.append((module, attribute))
    return [Slot(tuple(names), tuple(tensor.shape), tuple(owners)) for names, tensor, owners in tensors.values()]


def settle(slot: Slot, value: Tensor) -> None:
    """Fill a slot: set the tensor in all modules that share it."""
    filled = nn.Parameter(value, requires_grad=False) if slot.is_parameter else value
    for module, attribute in slot.owners:
        setattr(module, attribute, filled)


def require_filled(model: nn.Module) -> None:
    empty = [name for name, tensor in [*model.named_parameters(), *model.named_buffers()] if tensor.is_meta]
    assert not empty, f"never filled: {empty}"
