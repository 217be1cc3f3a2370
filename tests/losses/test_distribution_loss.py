import math

import torch

from detector.losses.distribution import distribution_focal_loss


def test_equals_equation_6_of_generalized_focal_loss_by_hand() -> None:
    logits = torch.tensor([[0.1, 0.7, -0.3, 1.2]], dtype=torch.float64)
    exponentials = [math.exp(x) for x in logits[0].tolist()]
    probability = [x / sum(exponentials) for x in exponentials]
    expected = -(0.75 * math.log(probability[1]) + 0.25 * math.log(probability[2]))
    loss = distribution_focal_loss(logits, torch.tensor([1.25], dtype=torch.float64))
    assert abs(loss.item() - expected) < 1e-12


def test_targets_beyond_the_bins_are_moved_to_the_nearest_end() -> None:
    logits = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    beyond = distribution_focal_loss(logits, torch.tensor([-2.0, 7.0, 50.0]))
    ends = -torch.log_softmax(logits, dim=1)[torch.arange(3), torch.tensor([0, 7, 7])]
    torch.testing.assert_close(beyond, ends)


def test_is_smallest_where_the_mean_of_the_distribution_is_the_target() -> None:
    logits = torch.zeros(1, 8, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = distribution_focal_loss(logits, torch.tensor([2.3], dtype=torch.float64)).sum()
        loss.backward()
        return loss

    optimizer.step(step)
    mean = (logits.softmax(1) * torch.arange(8)).sum().item()
    assert abs(mean - 2.3) < 0.02


def test_gradcheck_and_finite_in_bf16() -> None:
    logits = torch.randn(6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    target = torch.tensor([0.0, 0.4, 3.0, 6.99, 7.0, 9.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: distribution_focal_loss(x, target), logits)
    low = (logits.detach() * 100).bfloat16().requires_grad_()
    loss = distribution_focal_loss(low, target.bfloat16())
    loss.sum().backward()
    assert loss.isfinite().all()
    assert low.grad is not None
    assert low.grad.isfinite().all()
