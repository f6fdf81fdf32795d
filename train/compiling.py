"""A module whose forward is compiled by torch while a verb of the trainer is at work.

Forward alone is compiled: steps call ``self.log``, which would break their graph. It is compiled in place,
for a while, so that names in checkpoints, exported files and artifacts are those of the module as it was
written.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

import torch
from torch import nn

from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.compile_options import CompileOptions
from lifecycle.train.forward import with_forward

Step = Callable[..., Any]


class Compilation:
    """What ``Trainer(compile=…)`` asks for.

    Args:
        options: For torch.

    Raises:
        UsageError: there is no such backend.
    """

    def __init__(self, options: CompileOptions) -> None:
        if options.backend != "inductor":  # looking for others loads the compiler, which takes seconds
            known = torch.compiler.list_backends(exclude_tags=())
            if options.backend not in known:
                raise UsageError(f"compile.backend: {suggest(options.backend, known)}")
        self.options = options
        self._called = self._told = False
        self._made: dict[Step, Step] = {}

    def __getstate__(self) -> dict[str, object]:
        """What another process is given, which compiles for itself."""
        return {**vars(self), "_made": {}}

    @contextmanager
    def around(self, parts: Sequence[nn.Module]) -> Iterator[None]:
        """Have each of these parts of a module run its compiled forward for a while."""
        # Another verb with the same module finds it compiled.
        self._made = {f: self._made.get(f) or self._compiled(f) for f in (part.forward for part in parts)}
        with ExitStack() as stack:
            for part in parts:
                stack.enter_context(with_forward(part, self._made[part.forward]))
            yield

    def watched(self, module: nn.Module, step: Step) -> Step:
        """The training step; its first call warns where it runs nothing of what is compiled."""
        name = type(module).__name__

        def watching(*arguments: object) -> Any:
            found = step(*arguments)
            if not (self._called or self._told):
                self._told = True
                warnings.warn(
                    f"Trainer(compile=…) compiles {name}.forward, and training_step does not call it: write "
                    "self(…) in it, or call self.part.compile() of the parts it calls in configure_model",
                    stacklevel=2,
                )
            return found

        return watching

    def _compiled(self, forward: Step) -> Step:
        options = self.options
        try:
            compiler: Any = torch.compile  # whose newest argument has no type yet
            run = compiler(
                forward,
                backend=options.backend,
                mode=options.mode,
                dynamic=options.dynamic,
                fullgraph=options.fullgraph,
                options=None if options.options is None else dict(options.options),
                # Else modules of one class share a few compiled codes, and those of a third fit find none.
                isolate_recompiles=True,
            )
        except RuntimeError as error:  # of a Python that torch's compiler does not know yet, say
            raise UsageError(f"Trainer(compile=…): {error}", hint=_WITHOUT) from error

        @wraps(forward)
        def compiled(*args: Any, **kwargs: Any) -> Any:
            self._called = True
            try:
                return run(*args, **kwargs)
            except Exception as error:
                if (said := compiler_error(error)) is None:
                    raise
                raise said from error

        compiled.compiles = forward  # type: ignore[attr-defined]  # by which a module knows what not to copy
        return compiled


_WITHOUT = "Leave compile out to train without it."
_LACKS = {  # what a compiler's error holds, what is missing, and how to get it
    "InvalidCxxCompiler": ("a C++ compiler", "Install one (`apt install g++`), or name it in CXX"),
    "fatal error: Python.h": ("Python's headers", "Install them (`apt install python3-dev`)"),
    "TritonMissing": ("Triton", "Run `pip install triton`, of the version that torch names"),
    "Failed to find C compiler": ("a C compiler", "Install one (`apt install gcc`), or name it in CC"),
}


def compiler_error(error: Exception) -> UsageError | None:
    """What to say of an error of torch's compiler; None if it is one of the module that was compiled.

    The classes are not public: they are told by where they are defined and what they are called (ADR-0019).
    """
    kind = type(error)
    if not kind.__module__.startswith(("torch._dynamo", "torch._inductor")):
        return None
    if kind.__name__ in ("TorchRuntimeError", "UserError", "ObservedException"):
        return None  # the module's own, met while its graph was drawn: shapes that do not fit, say
    text = _chain(error)
    for sign, (missing, mend) in _LACKS.items():
        if sign in text:
            return UsageError(
                f"Trainer(compile=…): torch's compiler needs {missing}, and finds none here",
                hint=f"{mend}; or leave compile out to train without it.",
            )
    first = _line(str(error))
    if kind.__name__ == "Unsupported":
        return UsageError(
            f"Trainer(compile=…): forward cannot be compiled as a whole: {first}{_place(error)}",
            hint="Write that part otherwise, or leave fullgraph out to run it as it is.",
        )
    inner = getattr(error, "inner_exception", error)
    return UsageError(
        f"Trainer(compile=…): torch's compiler fails with {type(inner).__name__}: {_line(str(inner))}",
        hint="compile={'backend': 'aot_eager'} tells whether writing kernels is what fails. " + _WITHOUT,
    )


def _line(text: str) -> str:
    """The line of a compiler's text that says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "error:" in line), lines[0] if lines else "")


def _chain(error: BaseException | None) -> str:
    """Names and texts of an error and of those that led to it."""
    found: list[str] = []
    while error is not None and len(found) < 8:
        found.append(f"{type(error).__name__}: {error}")
        error = getattr(error, "inner_exception", None) or error.__cause__ or error.__context__
    return "\n".join(found)


def _place(error: Exception) -> str:
    """The line of the user's code at which the compiler stopped."""
    stack = getattr(error, "real_stack", None)
    if not stack:
        return ""
    return f" ({stack[-1].filename}:{stack[-1].lineno})"
