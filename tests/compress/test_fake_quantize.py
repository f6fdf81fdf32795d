from __future__ import annotations

import torch

from lifecycle.compress.fake_quantize import ActivationFakeQuantize, WeightFakeQuantize


def test_activations_are_rounded_to_256_levels_that_hold_zero() -> None:
    quantizer = ActivationFakeQuantize()
    x = torch.linspace(-1, 3, 10_001)
    y = quantizer.train()(x)
    assert float((x - y).abs().max()) <= 0.501 * 4 / 255
    assert 0 in y
    assert len(y.unique()) == 256


def test_only_training_moves_a_range() -> None:
    quantizer = ActivationFakeQuantize()
    quantizer.train()(torch.linspace(-1, 1, 100))
    before = quantizer.scale.clone()
    quantizer.eval()(torch.linspace(-100, 100, 100))
    assert torch.equal(quantizer.scale, before)
    quantizer.train()(torch.linspace(-100, 100, 100))
    assert before < quantizer.scale < 3 * before
    quantizer.disable_observer()
    after = quantizer.scale.clone()
    quantizer(torch.linspace(-1e4, 1e4, 100))
    assert torch.equal(quantizer.scale, after)


def test_every_output_channel_of_a_weight_has_its_scale_and_follows_it() -> None:
    quantizer = WeightFakeQuantize(2)
    weight = torch.tensor([[1.0, -0.5], [100.0, 3.0]])
    quantizer.train()(weight)
    assert torch.allclose(quantizer.scale, torch.tensor([1 / 127, 100 / 127]))
    quantizer(weight / 10)
    assert torch.allclose(quantizer.scale, torch.tensor([0.1 / 127, 10 / 127]))


def test_gradients_pass_where_nothing_is_clipped() -> None:
    quantizer = ActivationFakeQuantize()
    quantizer.train()(torch.linspace(0, 1, 100))
    x = torch.tensor([0.3, 5.0], requires_grad=True)
    quantizer.eval()(x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1, 0]


def test_the_whole_state_is_in_tensors_of_fixed_shape() -> None:
    quantizer = ActivationFakeQuantize()
    shapes = {name: tensor.shape for name, tensor in quantizer.state_dict().items()}
    quantizer.train()(torch.randn(100))
    state = {name: tensor.clone() for name, tensor in quantizer.state_dict().items()}
    assert {name: tensor.shape for name, tensor in state.items()} == shapes
    fresh = ActivationFakeQuantize().eval()
    fresh.load_state_dict(state)
    x = torch.randn(50)
    assert torch.equal(fresh(x), quantizer.eval()(x))
