"""Compute focal losses of logits (n, classes) and targets (n,), and their derivatives.

A target outside 0 ... classes - 1 is background. `weight` (classes,) scales rows by their target's class; it is empty
if not used, and background then keeps the weight 1.
"""

import torch
from torch import Tensor

from mmsparseswin.mmcv_ops.precision import widen


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the loss of each logit into `output` (n, classes)."""
    positive, p, q = _probabilities(input, target)
    loss = torch.where(positive, alpha * q.pow(gamma) * _log(p), (1 - alpha) * p.pow(gamma) * _log(q))
    output.copy_(-loss * _row_weights(weight, target)[:, None])


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivative of each loss by its logit into `grad_input` (n, classes)."""
    positive, p, q = _probabilities(input, target)
    of_positive = alpha * q.pow(gamma) * (q - gamma * p * _log(p))
    of_negative = (1 - alpha) * p.pow(gamma) * (gamma * q * _log(q) - p)
    grad_input.copy_(-torch.where(positive, of_positive, of_negative) * _row_weights(weight, target)[:, None])


def softmax_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the loss of each row of probabilities (n, classes), after softmax, into `output` (n,)."""
    p, known = _target_probability(input, target)
    loss = -alpha * (1 - p).pow(gamma) * _log(p)
    output.copy_(torch.where(known, loss, 0) * _row_weights(weight, target))


def softmax_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, buff: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivative by the logits into `grad_input` (n, classes); `input` holds the probabilities.

    `buff` (n,) becomes the derivative by the logarithm of the target's probability.
    """
    p, known = _target_probability(input, target)
    slope = alpha * (-(1 - p).pow(gamma) + gamma * (1 - p).pow(gamma - 1) * p * _log(p))
    slope = torch.where(known, slope, 0) * _row_weights(weight, target)
    buff.copy_(slope)
    (probabilities,) = widen(input)
    grad_input.copy_(slope[:, None] * (_one_hot(target, input.shape[1]).to(slope.dtype) - probabilities))


def _probabilities(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mask of the targets' logits, the probabilities, and one minus these: (n, classes)."""
    (logits,) = widen(logits)
    p = logits.sigmoid()
    return _one_hot(target, logits.shape[1]), p, 1 - p


def _target_probability(probabilities: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the probability of each row's target and the mask of rows with a target: (n,)."""
    (probabilities,) = widen(probabilities)
    known = (target >= 0) & (target < probabilities.shape[1])
    return probabilities.gather(1, target.where(known, 0)[:, None]).squeeze(1), known


def _one_hot(target: Tensor, classes: int) -> Tensor:
    return target[:, None] == torch.arange(classes, device=target.device)


def _log(p: Tensor) -> Tensor:
    return p.clamp(min=torch.finfo(torch.float32).tiny).log()


def _row_weights(weight: Tensor, target: Tensor) -> Tensor:
    """Return the weight of each row's class (n,): 1 without weights and for background."""
    (weight,) = widen(weight)
    if not weight.numel():
        return weight.new_ones(len(target))
    known = (target >= 0) & (target < len(weight))
    return torch.where(known, weight[target.where(known, 0)], 1)
