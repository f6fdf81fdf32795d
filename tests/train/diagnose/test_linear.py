from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, relu

import lifecycle as pl
from tests.train.diagnose.steps import Over, explained, of, zeros

FLATTENED = """\
fc1 (Linear) is sized 16*5*5 behind a feature map of 6×15×15.
  got:     4×1350, flattened from 4×6×15×15
  expects: 4×400, by nn.Linear(16*5*5, 120)
  write:   self.fc1 = nn.Linear(6*15*15, 120)"""


class Classifier(pl.Module):
    """The classic first network, whose classifier belongs to a deeper one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3)
        self.pool = nn.MaxPool2d(2, 2)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 10)

    def flat(self, x: Tensor) -> Tensor:
        return torch.flatten(x, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(relu(self.conv1(x)))
        x = self.flat(x)
        return self.fc2(relu(self.fc1(x)))  # type: ignore[no-any-return]

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return cross_entropy(self(batch[0]), batch[1])


class OfMethod(Classifier):
    def flat(self, x: Tensor) -> Tensor:
        return x.flatten(start_dim=1)


class OfLayer(Classifier):
    def flat(self, x: Tensor) -> Tensor:
        return nn.Flatten()(x)  # type: ignore[no-any-return]


class OfView(Classifier):
    def flat(self, x: Tensor) -> Tensor:
        return x.view(x.size(0), -1)


class OfReshape(Classifier):
    def flat(self, x: Tensor) -> Tensor:
        return torch.reshape(x, (x.shape[0], -1))


class ThroughOthers(Classifier):
    def flat(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(relu(x.flatten(1)), 0.5)


class Folding(Classifier):
    def flat(self, x: Tensor) -> Tensor:
        return x.view(-1, 16 * 5 * 5)


class FoldingByReshape(Classifier):
    def flat(self, x: Tensor) -> Tensor:
        return torch.reshape(x, (-1, 16 * 5 * 5))


class FlatteningAll(Classifier):
    def flat(self, x: Tensor) -> Tensor:
        return torch.flatten(x)


class NotFlattening(Classifier):
    def flat(self, x: Tensor) -> Tensor:
        return x


def images(count: int = 4) -> tuple[Tensor, Tensor]:
    return zeros(count, 3, 32, 32), zeros(count, dtype=torch.int64)


@pytest.mark.parametrize("kind", [Classifier, OfMethod, OfLayer, OfView, OfReshape, ThroughOthers])
def test_a_classifier_behind_another_feature_map_reads_as_exactly_that(kind: type[Classifier]) -> None:
    assert explained(kind(), *images()) == FLATTENED


class InSequence(pl.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 6, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(in_features=16 * 5 * 5, out_features=120),
        )

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return cross_entropy(self.net(batch[0]), batch[1])


class Named(pl.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Flatten())
        self.head = nn.Sequential(
            OrderedDict([("pool", nn.MaxPool1d(2)), ("fc", nn.Linear(16 * 5 * 5, 120))])
        )

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return cross_entropy(self.head(self.body(batch[0])), batch[1])


def test_a_layer_in_a_sequential_is_found_by_its_place() -> None:
    assert explained(InSequence(), *images()) == (
        "net.4 (Linear) is sized 16*5*5 behind a feature map of 6×15×15.\n"
        "  got:     4×1350, flattened from 4×6×15×15\n"
        "  expects: 4×400, by nn.Linear(in_features=16*5*5, out_features=120)\n"
        "  write:   self.net[4] = nn.Linear(in_features=6*15*15, out_features=120)"
    )


def test_a_layer_with_a_name_in_a_sequential_is_found_too() -> None:
    assert explained(Named(), *images()) == (
        "head.fc (Linear) is made for 16*5*5 features, and gets 2700.\n"
        "  got:     4×2700\n"
        "  expects: 4×400, by nn.Linear(16*5*5, 120)\n"
        "  write:   self.head.fc = nn.Linear(2700, 120)"
    )


@pytest.mark.parametrize(
    ("kind", "text"), [(Folding, "x.view(-1, 16*5*5)"), (FoldingByReshape, "torch.reshape(x, (-1, 16*5*5))")]
)
def test_a_view_that_cannot_be_is_explained_by_the_feature_map(kind: type[Classifier], text: str) -> None:
    assert explained(kind(), *images(4)) == (
        f"{text} in {kind.__name__} does not fit a feature map of 6×15×15.\n"
        "  got:     4×6×15×15: 1350 features for each of 4 samples\n"
        "  expects: 400 features, by nn.Linear(16*5*5, 120)\n"
        "  write:   torch.flatten(x, 1) in its place, and self.fc1 = nn.Linear(6*15*15, 120)"
    )


@pytest.mark.parametrize(
    ("kind", "text"), [(Folding, "x.view(-1, 16*5*5)"), (FoldingByReshape, "torch.reshape(x, (-1, 16*5*5))")]
)
def test_a_view_that_folds_features_into_samples_is_found_behind_the_loss(
    kind: type[Classifier], text: str
) -> None:
    """Of 8 images 27 samples are made; the first to notice is the loss."""
    assert explained(kind(), *images(8)) == (
        f"{text} changed the batch size from 8 to 27.\n"
        "  got:     8×6×15×15: a feature map of 6×15×15 has 1350 features, not 400\n"
        "  expects: 8×400, by nn.Linear(16*5*5, 120)\n"
        "  write:   torch.flatten(x, 1) in its place, and self.fc1 = nn.Linear(6*15*15, 120)"
    )


def test_a_folded_batch_is_found_behind_any_operation_on_both() -> None:
    class Comparing(Folding):
        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            hits: Tensor = self(batch[0]).argmax(1) == batch[1]
            return hits.float().mean()

    text = explained(Comparing(), *images(8))
    assert text is not None and text.startswith("x.view(-1, 16*5*5) changed the batch size from 8 to 27.\n")


def test_a_view_may_fold_before_a_layer_of_yet_another_size() -> None:
    class Twice(Classifier):
        def flat(self, x: Tensor) -> Tensor:
            return x.view(-1, 6 * 15)

    assert explained(Twice(), *images()) == (
        "x.view(-1, 6*15) changed the batch size from 4 to 60.\n"
        "  got:     4×6×15×15: a feature map of 6×15×15 has 1350 features, not 90\n"
        "  expects: 4×400, by nn.Linear(16*5*5, 120)\n"
        "  write:   torch.flatten(x, 1) in its place, and self.fc1 = nn.Linear(6*15*15, 120)"
    )


def test_a_flatten_that_takes_the_samples_too_is_named() -> None:
    assert explained(FlatteningAll(), *images()) == (
        "fc1 (Linear) got a batch in which samples were flattened too.\n"
        "  got:     5400, flattened from 4×6×15×15\n"
        "  expects: 4×400, by nn.Linear(16*5*5, 120)\n"
        "  write:   torch.flatten(x, 1), or nn.Flatten(), which leave the first axis; "
        "and self.fc1 = nn.Linear(6*15*15, 120)"
    )


def test_a_feature_map_that_was_not_flattened_is_named() -> None:
    assert explained(NotFlattening(), *images()) == (
        "fc1 (Linear) got a feature map of 6×15×15 that was not flattened.\n"
        "  got:     4×6×15×15\n"
        "  expects: 400 on the last axis, by nn.Linear(16*5*5, 120)\n"
        "  write:   x = torch.flatten(x, 1) before it (in a Sequential: nn.Flatten()), "
        "and self.fc1 = nn.Linear(6*15*15, 120)"
    )


@pytest.mark.parametrize("shape", [(4, 1, 28, 28), (4, 28, 28)])
def test_images_of_the_right_size_only_need_flattening(shape: tuple[int, ...]) -> None:
    text = of(nn.Linear(784, 10), zeros(*shape))
    assert text is not None
    assert text.endswith("  write:   x = torch.flatten(x, 1) before it (in a Sequential: nn.Flatten())")


def test_a_sample_without_a_batch_axis_is_told_from_a_wrong_size() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 26 * 26, 3))
    assert of(net, zeros(1, 28, 28)) == (
        "layer.3 (Linear) got a sample without a batch axis.\n"
        "  got:     2×676, flattened from 2×26×26\n"
        "  expects: a first axis for samples, then 1352 features, by nn.Linear(1352, 3)\n"
        "  write:   x = x.unsqueeze(0) before the first layer, or DataLoader(dataset, batch_size=...)"
    )


@pytest.mark.parametrize("shape", [(7,), (4, 7), (4, 6, 7)])
def test_other_features_are_named_with_the_size_to_write(shape: tuple[int, ...]) -> None:
    before = "".join(f"{size}×" for size in shape[:-1])
    assert of(nn.Linear(5, 3, bias=False), zeros(*shape)) == (
        "layer (Linear) is made for 5 features, and gets 7.\n"
        f"  got:     {before}7\n"
        f"  expects: {before}5, by nn.Linear(5, 3, bias=False)\n"
        "  write:   self.layer = nn.Linear(7, 3, bias=False)"
    )


def test_features_on_another_axis_are_told_from_a_wrong_size() -> None:
    assert of(nn.Linear(5, 3), zeros(4, 5, 7)) == (
        "layer (Linear) wants its features on the last axis.\n"
        "  got:     4×5×7\n"
        "  expects: 5 on the last axis, by nn.Linear(5, 3)\n"
        "  write:   x = x.transpose(1, 2) before it, which gives 4×7×5"
    )


def test_layers_of_the_same_size_do_not_hide_the_one_behind_a_view() -> None:
    """Two layers take 400 features: the one that ran after the view is meant."""

    class Two(Folding):
        def __init__(self) -> None:
            super().__init__()
            self.other = nn.Linear(400, 2)

    text = explained(Two(), *images(8))
    assert text is not None and "by nn.Linear(16*5*5, 120)" in text


def test_a_regression_that_folds_its_batch_is_found_too() -> None:
    class Regression(Folding):
        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            return mse_loss(self(batch[0]), zeros(8, 10))

    with pytest.warns(UserWarning, match="different to the input size"):
        text = explained(Regression(), *images(8))
    assert text is not None and text.startswith("x.view(-1, 16*5*5) changed the batch size from 8 to 27.\n")


def test_other_reshapes_that_fail_are_left_to_torch() -> None:
    class Odd(Over):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs.view(3, -1, 2)

    assert explained(Odd(nn.Identity()), zeros(4, 7)) == (
        "view failed in Odd.\n  got:     4×7\n  says:    shape '[3, -1, 2]' is invalid for input of size 28"
    )
