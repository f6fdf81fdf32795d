from __future__ import annotations

import pytest
import torch

from lifecycle.compress.knowledge import output_loss, similarity_loss
from lifecycle.core.errors import UsageError


def test_soft_targets_are_those_of_hinton() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(6, 5), torch.randn(6, 5)
    soft = (teacher / 3).softmax(1)
    wanted = 9 * (soft * (soft.log() - (student / 3).log_softmax(1))).sum(1).mean()
    torch.testing.assert_close(output_loss(student, teacher, kind="kl", temperature=3), wanted)
    assert output_loss(teacher, teacher, kind="kl", temperature=3).abs() < 1e-6


def test_every_pixel_of_a_segmentation_counts_alike() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    flat = [each.movedim(1, -1).reshape(-1, 3) for each in (student, teacher)]
    torch.testing.assert_close(
        output_loss(student, teacher, kind="kl", temperature=2), output_loss(*flat, kind="kl", temperature=2)
    )


def test_features_of_other_widths_are_compared_by_what_they_tell_apart() -> None:
    torch.manual_seed(0)
    teacher = torch.randn(8, 16, 3, 3)
    doubled = torch.cat([teacher, teacher], 1)
    assert similarity_loss(doubled, teacher) < 1e-10
    assert similarity_loss(torch.randn(8, 4), teacher) > 1e-3


def test_values_that_are_no_scores_are_not_compared_as_such() -> None:
    with pytest.raises(UsageError, match=r"outputs are \(4, 1\)\npass kind='mse'"):
        output_loss(torch.zeros(4, 1), torch.ones(4, 1), kind="kl", temperature=1)
    assert output_loss(torch.zeros(4, 1), torch.ones(4, 1), kind="mse", temperature=1) == 1


def test_other_shapes_of_outputs_are_refused() -> None:
    with pytest.raises(UsageError, match=r"teacher gives \(2, 7\) where the student gives \(2, 5\)"):
        output_loss(torch.zeros(2, 5), torch.zeros(2, 7), kind="kl", temperature=1)
