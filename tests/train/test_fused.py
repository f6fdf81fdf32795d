"""Optimizers that step by one kernel: as if they had been made so, whatever a checkpoint says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lifecycle.train.fused import fuse
from tests.train.small import Plain, loader, quiet, same, seeded

KINDS = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.Adagrad)


@pytest.mark.parametrize("kind", KINDS)
def test_an_optimizer_is_as_if_it_had_been_made_fused(kind: Any) -> None:
    parameter = nn.Parameter(torch.ones(3))
    made, wanted = kind([parameter], lr=0.1), kind([parameter], lr=0.1, fused=True)
    fuse(made)
    assert made.defaults == wanted.defaults
    assert same(made.state_dict(), wanted.state_dict())
    hooks = "_optimizer_load_state_dict_pre_hooks"
    assert {n: v for n, v in vars(made).items() if n not in (hooks, "state")}.keys() == {
        n: v for n, v in vars(wanted).items() if n not in (hooks, "state")
    }.keys()
    assert getattr(made, "_step_supports_amp_scaling", None) is True


@pytest.mark.parametrize("options", [{"foreach": True}, {"fused": False}, {"differentiable": True}])
def test_what_the_user_says_of_it_is_kept(options: dict[str, bool]) -> None:
    made = torch.optim.AdamW([nn.Parameter(torch.ones(3))], **options)  # type: ignore[arg-type]
    before = repr(made)
    fuse(made)
    assert repr(made) == before


def test_one_without_such_a_kernel_is_named() -> None:
    with pytest.warns(UserWarning, match=r"^Trainer\(fused=True\): torch has no fused kernel of RMSprop"):
        fuse(torch.optim.RMSprop([nn.Parameter(torch.ones(3))]))
    with pytest.warns(UserWarning, match=r"torch's fused AdamW takes no torch\.complex64 on cpu"):
        fuse(torch.optim.AdamW([nn.Parameter(torch.ones(3, dtype=torch.complex64))]))


class Adam(Plain):
    def configure_optimizers(self) -> object:
        return torch.optim.AdamW(self.parameters(), lr=0.05)


def test_a_fused_fit_trains_to_the_same_weights_clipped_too() -> None:
    for options in ({}, {"gradient_clip_val": 0.5}, {"accumulate_grad_batches": 2}):
        module, plain = seeded(Adam), seeded(Adam)
        trainer = quiet(fused=True, max_epochs=2, **options)
        trainer.fit(module, loader())
        quiet(max_epochs=2, **options).fit(plain, loader())
        assert trainer.optimizers[0].param_groups[0]["fused"] is True
        for found, wanted in zip(module.parameters(), plain.parameters(), strict=True):
            assert torch.allclose(found, wanted, atol=1e-6)


def test_scaled_losses_are_unscaled_once() -> None:
    """By torch's own scaler, which leaves a kernel that can do so to unscale by itself."""
    from lifecycle.train.precision import MixedPrecision

    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    fuse(optimizer)
    precision = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))
    precision.scale((3 * weight).sum()).backward()  # type: ignore[no-untyped-call]
    precision.unscale_(optimizer)
    nn.utils.clip_grad_norm_([weight], 2.0)
    precision.step(optimizer)
    assert weight.item() == pytest.approx(1.0 - 2.0, abs=1e-5)


@pytest.mark.parametrize("before", [True, False])
def test_a_fit_goes_on_fused_whatever_kernel_wrote_the_checkpoint(before: bool, tmp_path: Path) -> None:
    def fit(epochs: int, ckpt_path: Path | None = None, fused: bool = True) -> Any:
        module = seeded(Adam)
        trainer = quiet(max_epochs=epochs, fused=fused)
        trainer.fit(module, loader(), ckpt_path=ckpt_path)
        return module, trainer

    path = tmp_path / "first.ckpt"
    fit(1, fused=before)[1].save_checkpoint(path)
    (module, trainer), (whole, _) = fit(2, path), fit(2)
    assert [group["fused"] for group in trainer.optimizers[0].param_groups] == [True]
    for name, value in module.state_dict().items():
        wanted = whole.state_dict()[name]
        assert torch.equal(value, wanted) if before else torch.allclose(value, wanted, atol=1e-6)
