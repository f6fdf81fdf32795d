from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lifecycle.compress.fold import folded, scaled_weight, unscaled_batch_norm


def pair(bias: bool, affine: bool = True) -> tuple[nn.Conv2d, nn.BatchNorm2d, torch.Tensor]:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 5, 3, bias=bias), nn.BatchNorm2d(5, eps=1e-2, momentum=0.3, affine=affine)
    for _ in range(5):
        norm(conv(torch.randn(8, 3, 6, 6) + 1))
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return conv, norm, torch.randn(4, 3, 6, 6)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_one_weight_and_one_bias_compute_both_layers(bias: bool, affine: bool) -> None:
    conv, norm, x = pair(bias, affine)
    norm.eval()
    weight, shift = folded(
        conv.weight, conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var, eps=norm.eps
    )
    assert torch.allclose(F.conv2d(x, weight, shift), norm(conv(x)), atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("switched_off", [True, False])
def test_the_form_that_training_rounds_computes_the_same_and_learns_the_same(
    training: bool, switched_off: bool
) -> None:
    conv, norm, x = pair(bias=True)
    if switched_off:
        with torch.no_grad():
            norm.weight[2] = 0  # as residual networks start
    norm.train(training)
    mean, variance = norm.running_mean.clone(), norm.running_var.clone()
    weight = scaled_weight(conv.weight, norm.weight, variance, norm.eps)
    got = unscaled_batch_norm(
        F.conv2d(x, weight), conv.bias, norm.weight, norm.bias, mean, variance, training, 0.3, norm.eps
    )
    got_gradient = torch.autograd.grad(got.square().sum(), [conv.weight, norm.weight])
    wanted = norm(conv(x))
    wanted_gradient = torch.autograd.grad(wanted.square().sum(), [conv.weight, norm.weight])
    assert torch.allclose(got, wanted, atol=1e-4)
    assert torch.allclose(mean, norm.running_mean, atol=1e-5)
    assert torch.allclose(variance, norm.running_var, atol=1e-5)
    for one, other in zip(got_gradient, wanted_gradient, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-2)
