"""What ``Trainer(compile=…)`` says to torch's compiler; nothing of torch is loaded to read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias, cast, get_type_hints

from lifecycle.core.canonical import JSON
from lifecycle.core.config import convert
from lifecycle.core.errors import UsageError, suggest

Mode = Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"]
Compiling: TypeAlias = "CompileOptions | Mapping[str, object]"


@dataclass(frozen=True, kw_only=True)
class CompileOptions:
    """How torch compiles a module's forward.

    Attributes:
        backend: ``inductor``, which writes kernels, or another of ``torch.compiler.list_backends(())``.
        mode: Of inductor: ``reduce-overhead`` records CUDA graphs, ``max-autotune`` tries kernels by the
            clock.
        dynamic: False compiles each shape of a batch for itself, true one code for all shapes; null lets
            torch go over from the one to the other, so that the bits of a resumed fit may differ.
        fullgraph: Fail where a part of forward cannot be compiled, instead of running that part as it is.
        options: Settings of the backend, in place of a mode.

    Raises:
        UsageError: mode and options are both given, or a mode of another backend.
    """

    backend: str = "inductor"
    mode: Mode | None = None
    dynamic: bool | None = False
    fullgraph: bool = False
    options: Mapping[str, str | int | float | bool] | None = None

    def __post_init__(self) -> None:
        if self.mode is not None and self.options is not None:
            raise UsageError("compile takes a mode or options, not both")
        if self.mode is not None and self.backend != "inductor":
            raise UsageError(
                f"compile: mode '{self.mode}' is one of inductor, and the backend is '{self.backend}'",
                hint="Leave one of them out.",
            )


def compile_options(given: object) -> CompileOptions | None:
    """Read ``Trainer(compile=…)``; None where nothing is to be compiled.

    Raises:
        UsageError: an option that there is not, or a value of another type.
    """
    if given is None or isinstance(given, bool):
        return CompileOptions() if given else None
    if isinstance(given, CompileOptions):
        return given
    if not isinstance(given, Mapping):
        raise UsageError(
            f"Trainer(compile={given!r}): expected true, false, or options such as {{'dynamic': True}}"
        )
    types = get_type_hints(CompileOptions)
    known = [field.name for field in fields(CompileOptions)]
    for name in given:
        if name not in known:
            raise UsageError(f"compile has no option '{name}': {suggest(str(name), known)}")
    values = {
        name: convert(types[name], cast("JSON", value), f"compile.{name}") for name, value in given.items()
    }
    return CompileOptions(**values)  # type: ignore[arg-type]
