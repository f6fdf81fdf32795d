"""Modules that the trainer compiles: what they compute, what stays of it, and what is said when it fails."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lifecycle as pl
from lifecycle.core.errors import UsageError
from lifecycle.train.compiling import compiler_error
from tests.train.small import Plain, Regression, loader, quiet, same, seeded
from tests.train.test_session import INPUTS, OneMore, Told

EAGER = {"backend": "eager"}


@pytest.fixture(autouse=True)
def _compiled_anew() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def test_all_verbs_run_the_compiled_forward_and_leave_the_module_as_it_was() -> None:
    module, expected = seeded(Told), seeded(OneMore)
    names = list(module.state_dict())
    trainer, by_hand = quiet(max_epochs=2, compile=EAGER), quiet(max_epochs=2)
    trainer.fit(module, loader(), loader())
    by_hand.fit(expected, loader(), loader())
    assert same(module.state_dict(), expected.state_dict()) and list(module.state_dict()) == names
    assert same(trainer.callback_metrics, by_hand.callback_metrics)
    assert trainer.test(module, loader(), verbose=False) == by_hand.test(expected, loader(), verbose=False)
    (given,) = trainer.predict(module, [INPUTS])  # type: ignore[misc]
    assert torch.equal(given, module(INPUTS) + 1.0)
    assert "forward" not in vars(module)


def test_the_third_fit_of_a_process_is_compiled_like_the_first() -> None:
    for _ in range(3):  # each with two sizes of a batch, with and without gradients
        module, expected = seeded(Told), seeded(OneMore)
        quiet(compile=EAGER).fit(module, loader(), loader())
        quiet().fit(expected, loader(), loader())
        assert same(module.state_dict(), expected.state_dict())


def test_a_copy_that_is_made_in_a_fit_answers_for_itself() -> None:
    copies: list[Plain] = []

    class Copying(pl.Callback):
        def on_train_start(self, trainer: pl.Trainer, module: pl.Module) -> None:
            copies.append(copy.deepcopy(module))  # type: ignore[arg-type]

    module = seeded(Told)
    quiet(compile=EAGER, callbacks=[Copying()]).fit(module, loader())
    assert torch.equal(copies[0](INPUTS), copies[0].net(INPUTS))
    assert not torch.equal(copies[0](INPUTS), module(INPUTS))


class Until(pl.Callback):
    """Saves after so many steps, and ends the fit."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_batch_end(self, trainer: Any, module: Any, *rest: object) -> None:
        if trainer.global_step == 8:
            trainer.save_checkpoint(self.path)
            trainer.should_stop = True


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # of what torch's compiler imports
def test_a_compiled_fit_goes_on_to_the_bit(tmp_path: Path) -> None:
    """With dropout, inside an epoch, whose last batch is smaller; by torch's own kernels."""

    def fit(callbacks: Any = (), ckpt_path: Path | None = None) -> Any:
        torch.compiler.reset()  # as a new process begins
        module = seeded(Regression)
        quiet(compile=True, max_epochs=3, callbacks=list(callbacks)).fit(
            module, loader(shuffle=True), ckpt_path=ckpt_path
        )
        return module.state_dict()

    path = tmp_path / "cut.ckpt"
    fit([Until(path)])
    assert same(fit(), fit(ckpt_path=path))


class Breaks(Plain):
    def forward(self, inputs: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return super().forward(inputs)


def test_a_part_that_cannot_be_compiled_is_run_as_it_is_unless_the_whole_is_asked_for() -> None:
    module, expected = seeded(Breaks), seeded(Plain)
    quiet(compile=EAGER).fit(module, loader())
    quiet().fit(expected, loader())
    assert same(module.state_dict(), expected.state_dict())
    with pytest.raises(UsageError) as refused:
        quiet(compile={**EAGER, "fullgraph": True}).fit(seeded(Breaks), loader())
    message = str(refused.value)
    assert message.startswith(
        "Trainer(compile=…): forward cannot be compiled as a whole: Call to `torch._dynamo.graph_break()`"
    )
    assert f"{__file__}:" in message
    assert message.endswith("Write that part otherwise, or leave fullgraph out to run it as it is.")


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_machine_without_a_compiler_is_told_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "no-such-compiler"))
    with pytest.raises(UsageError) as refused:
        quiet(compile={"options": {"fx_graph_cache": False}}).fit(seeded(Plain), loader())
    assert str(refused.value) == (
        "Trainer(compile=…): torch's compiler needs a C++ compiler, and finds none here\n"
        "Install one (`apt install g++`), or name it in CXX; or leave compile out to train without it."
    )


def failures() -> dict[str, tuple[Exception, str]]:
    """What torch's compiler raises, by what is wrong, and what is said of it."""
    from torch._dynamo.exc import BackendCompilerFailed
    from torch._inductor.exc import CppCompileError, TritonMissing

    command = ["g++", "kernel.cpp"]
    headers = CppCompileError(command, "kernel.cpp:3:10: fatal error: Python.h: No such file or directory")
    other = CppCompileError(command, "In file included from Python.h:1\nkernel.cpp:7:1: error: expected ';'")
    no_cc = RuntimeError("Failed to find C compiler. Please specify via CC environment variable")
    need = "torch's compiler needs {}, and finds none here"
    return {
        "headers": (BackendCompilerFailed(compile, headers, None), need.format("Python's headers")),
        "triton": (TritonMissing(None), need.format("Triton")),
        "cc": (BackendCompilerFailed(compile, no_cc, None), need.format("a C compiler")),
        "other": (
            BackendCompilerFailed(compile, other, None),
            "torch's compiler fails with CppCompileError: kernel.cpp:7:1: error: expected ';'",
        ),
    }


@pytest.mark.parametrize("what", ["headers", "triton", "cc", "other"])
def test_what_fails_in_the_compiler_is_told_in_a_line(what: str) -> None:
    error, message = failures()[what]
    said = compiler_error(error)
    assert said is not None
    assert str(said).splitlines()[0] == f"Trainer(compile=…): {message}"
    assert said.hint.endswith("ave compile out to train without it.")
    assert compiler_error(RuntimeError("of the module")) is None


def test_an_error_of_the_module_is_still_the_modules() -> None:
    class Narrow(Plain):
        def forward(self, inputs: Tensor) -> Tensor:
            return super().forward(inputs[:, :3])

    with pytest.raises(UsageError, match=r"^net\.0 \(Linear\) is made for 4 features, and gets 3"):
        quiet(compile=EAGER).fit(seeded(Narrow), loader())


def test_a_step_that_runs_nothing_of_what_is_compiled_is_warned_about() -> None:
    class Beside(Plain):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            return (self.net(batch[0]) - batch[1]).square().mean()

    with pytest.warns(UserWarning, match=r"compiles Beside\.forward, and training_step does not call it"):
        quiet(compile=EAGER).fit(seeded(Beside), loader())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("fast", "Trainer(compile='fast'): expected true, false, or options such as {'dynamic': True}"),
        (
            {"mod": "default"},
            "compile has no option 'mod': did you mean 'mode'? "
            "Allowed: backend, dynamic, fullgraph, mode, options",
        ),
        ({"mode": "max-autotunes"}, "did you mean 'max-autotune'?"),
        ({"dynamic": 3}, "compile.dynamic is 3: Input should be a valid boolean"),
        (
            {"mode": "default", "options": {"trace.enabled": True}},
            "compile takes a mode or options, not both",
        ),
        ({"mode": "default", "backend": "eager"}, "compile: mode 'default' is one of inductor"),
        ({"backend": "egar"}, "compile.backend: did you mean 'eager'?"),
    ],
)
def test_what_torch_does_not_take_is_refused(given: object, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        quiet(compile=given)
    assert message in str(refused.value)


def test_a_module_that_is_compiled_already_is_passed_as_it_is() -> None:
    with pytest.raises(UsageError, match=r"was given a module that torch\.compile has made"):
        quiet(compile=EAGER).fit(torch.compile(seeded(Plain), backend="eager"), loader())
