"""The loss and its gradient against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, linear, one_hot

from litecompress.train import loss
from litecompress.train.loss import Teaching, table_cross_entropy


@pytest.mark.parametrize("slice_logits", [30, 10**6])
def test_a_teacher_takes_its_share_of_the_target(slice_logits, monkeypatch):
    monkeypatch.setattr(loss, "SLICE_LOGITS", slice_logits)
    torch.manual_seed(0)
    target = torch.randint(0, 11, (7,))
    ours = [torch.randn(7, 5, requires_grad=True), torch.randn(11, 5, requires_grad=True)]
    theirs = [w.detach().clone().requires_grad_() for w in ours]
    teacher = torch.randn(7, 3), torch.randn(11, 3)
    found, _ = table_cross_entropy(*ours, target, 0.1, Teaching(*teacher, 0.4))
    smoothed = one_hot(target, 11) * 0.9 + 0.1 / 11
    wanted = 0.6 * smoothed + 0.4 * linear(*teacher).softmax(1)
    expected = cross_entropy(linear(*theirs), wanted, reduction="sum")
    found.backward()
    expected.backward()
    torch.testing.assert_close(found, expected)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("slice_logits", [1, 30, 10**6])
def test_loss_and_gradients_equal_those_of_torch(smoothing, slice_logits, monkeypatch):
    monkeypatch.setattr(loss, "SLICE_LOGITS", slice_logits)
    torch.manual_seed(0)
    target = torch.randint(0, 11, (7,))
    ours = [torch.randn(7, 5, requires_grad=True), torch.randn(11, 5, requires_grad=True)]
    theirs = [w.detach().clone().requires_grad_() for w in ours]
    found, nll = table_cross_entropy(*ours, target, smoothing)
    logits = linear(*theirs)
    expected = cross_entropy(logits, target, reduction="sum", label_smoothing=smoothing)
    (3 * found).backward()
    (3 * expected).backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(nll, cross_entropy(logits, target, reduction="sum"))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)
