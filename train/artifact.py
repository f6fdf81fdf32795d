"""The ``checkpoint`` artifact: weights, how to rebuild the module that they belong to, and its code.

No module is ever pickled: a fresh one is made from the snapshot of the user's code, the recorded edits
(pruning, quantization) are replayed on it in order, and the weights are loaded.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lifecycle.core import plugins
from lifecycle.core.artifact import Artifact, Draft
from lifecycle.core.canonical import JSON, readable_json
from lifecycle.core.errors import ArtifactError, UsageError
from lifecycle.core.reference import Reference
from lifecycle.core.secrets import mask, resolve
from lifecycle.core.stage import Project
from lifecycle.train.describe import example_inputs, signature_of
from lifecycle.train.module import Module

Edit = Mapping[str, JSON]
Replay = Callable[[nn.Module, tuple[Tensor, ...], Edit], None]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to make a module: a class, its arguments, then edits in order, each with its kind in ``edit``.

    Attributes:
        model: Its class.
        args: Of the class.
        data: The DataModule that it was trained on.
        data_args: Of that.
        seed: Of the run; splits that are drawn come out as they did.
        edits: What was done to the class's module.
    """

    model: Reference
    args: Mapping[str, JSON]
    data: Reference
    data_args: Mapping[str, JSON]
    seed: int
    edits: tuple[Edit, ...] = ()

    def build(self, root: Path) -> Module:
        """A fresh module with every edit replayed; its weights are yet to be loaded.

        Raises:
            UsageError: the class cannot be loaded or made.
        """
        module = make_module(self.model, self.args, root)
        for edit in self.edits:
            replay = cast("Replay", plugins.load("edits", str(edit["edit"])))
            replay(module, example_inputs(module), edit)
        return module


def make_module(model: Reference, args: Mapping[str, JSON], root: Path) -> Module:
    """Load a user's class and make one of it."""
    cls = model.load(root)
    if not issubclass(cls, Module):
        raise UsageError(
            f"{model.text} is no lifecycle.Module: write `class {cls.__name__}(lifecycle.Module)`"
        )
    given = cast("Mapping[str, JSON]", resolve(args))
    try:
        return cls(**given)
    except Exception as error:
        raise UsageError(
            f"{model.text} cannot be made with model_args {dict(args)}: {mask(str(error))}"
        ) from error


def write_checkpoint(
    module: Module,
    into: Path,
    *,
    project: Project,
    seed: int = 0,
    edits: Sequence[Edit] = (),
    parent: Artifact | None = None,
    facts: Mapping[str, JSON] | None = None,
) -> Artifact:
    """Seal a module as a ``checkpoint`` artifact.

    Args:
        module: Whose weights to keep.
        into: Where the artifact is to stand.
        project: Where its class and data come from; their sources are copied.
        seed: Of the run.
        edits: What was done to the class's module, in order.
        parent: The checkpoint it was made from.
        facts: What was measured.
    """
    recipe: JSON = {
        "format": 1,
        "model": {"reference": project.model.text, "args": dict(project.model_args)},
        "data": {"reference": project.data.text, "args": dict(project.data_args)},
        "seed": seed,
        "edits": list(edits),
    }
    with Draft(into) as draft:
        save_file(unique_tensors(module), draft.path / "weights.safetensors")
        (draft.path / "recipe.json").write_bytes(readable_json(recipe))
        (draft.path / "signature.json").write_bytes(readable_json(signature_of(module).to_json()))
        sources = project.model.sources(project.root) | project.data.sources(project.root)
        for name, source in sorted(sources.items()):
            copy = draft.path / "code" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
        return draft.seal("checkpoint", parent=parent, facts=facts)


def read_recipe(artifact: Artifact) -> Recipe:
    """The recipe of a ``checkpoint`` artifact."""
    content = artifact.read_json("recipe.json")
    if content.get("format") != 1:
        raise ArtifactError(
            f"{artifact.path}: recipe of format {content.get('format')}; this version reads 1"
        )
    model, data = (cast("Mapping[str, JSON]", content[name]) for name in ("model", "data"))
    return Recipe(
        model=Reference(str(model["reference"])),
        args=cast("Mapping[str, JSON]", model["args"]),
        data=Reference(str(data["reference"])),
        data_args=cast("Mapping[str, JSON]", data["args"]),
        seed=cast("int", content["seed"]),
        edits=tuple(cast("list[Edit]", content["edits"])),
    )


def open_checkpoint(artifact: Artifact, *, training: bool = False) -> Module:
    """Rebuild the module of a ``checkpoint`` artifact.

    Args:
        artifact: The checkpoint.
        training: Leave every part in the mode in which its class makes it, to be trained further; otherwise
            all are in evaluation mode.

    Raises:
        ArtifactError: the weights are not those of the recipe's module.
    """
    module = read_recipe(artifact).build(artifact.path / "code")
    saved = load_file(artifact.file("weights.safetensors"))
    wanted = {name: tensor.shape for name, tensor in unique_tensors(module).items()}
    found = {name: tensor.shape for name, tensor in saved.items()}
    if found != wanted:
        names = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
        listing = ", ".join(names[:5])
        raise ArtifactError(
            f"{artifact.path}: weights do not belong to the recipe's module; differing: {listing}"
        )
    with torch.no_grad():
        for name, tensor in module.state_dict(keep_vars=True).items():
            if name in saved:
                tensor.copy_(saved[name])
    return module if training else module.eval()


def unique_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The module's state without second names for the same tensor (tied weights); the first name stays."""
    found: dict[str, Tensor] = {}
    seen: set[object] = set()
    for name, tensor in module.state_dict().items():
        identity = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        if tensor.numel() and identity in seen:
            continue
        seen.add(identity)
        found[name] = tensor.detach().cpu().contiguous()
    return found
