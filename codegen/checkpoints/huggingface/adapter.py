"""Detects and refuses LoRA adapters, which the package peft writes: they are no models until they are merged."""

from __future__ import annotations

from pathlib import Path

from tinyllm.errors import UserError
from tinyllm.files import read_json_object
from tinyllm.text import shown

SETTINGS = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
SETTINGS_LIMIT = 1 << 20
PARTS = {"lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B"}
"""The part, between two dots, of a tensor's name that shows that it belongs to an adapter."""


def refuse_adapter(path: Path) -> None:
    """Raise UserError, with the line of Python that merges it, if the folder or file `path` is an adapter.

    A folder that holds an adapter beside a whole model is refused too, because transformers would load both.
    """
    folder = path if path.is_dir() else path.parent
    if not path.is_dir() and path.name not in (SETTINGS, *WEIGHTS):
        return
    if any((folder / name).exists() for name in (SETTINGS, *WEIGHTS)):
        raise _merge_first(path, f"a LoRA adapter{_of_base(folder / SETTINGS)}")


def refuse_adapter_tensors(folder: Path, names: set[str]) -> None:
    """Raise UserError if the weights hold an adapter that is not merged yet."""
    apart = sorted(name for name in names if not PARTS.isdisjoint(name.split(".")))
    if apart:
        raise _merge_first(folder, f"a model with a LoRA adapter beside its weights ({apart[0][:80]!r})")


def _of_base(settings: Path) -> str:
    if not settings.is_file():
        return ""
    base = read_json_object(settings, SETTINGS_LIMIT).get("base_model_name_or_path")
    return f" for {shown(base)}" if isinstance(base, str) and base else ""


def _merge_first(path: Path, what: str) -> UserError:
    return UserError(
        f"{path} is {what}, not a whole model; merge it first, with peft in Python, and give the new folder:\n"
        'AutoPeftModelForCausalLM.from_pretrained(folder).merge_and_unload().save_pretrained("merged")'
    )
