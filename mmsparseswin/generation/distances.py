"""Compare two sets of features (docs/generation.md, 'Measures')."""

import torch
from torch import Tensor


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Squared Frechet distance of two normal distributions with the means and covariances of features (N, D)."""
    a, b = a.double(), b.double()
    cov_a, cov_b = torch.cov(a.T), torch.cov(b.T)
    # The trace of the root of cov_a cov_b, from the eigenvalues of a symmetric matrix that is similar to it.
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    shared = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + cov_a.trace() + cov_b.trace() - 2 * shared)


def recall(real: Tensor, drawn: Tensor, neighbours: int = 5, chunk: int = 1000) -> float:
    """Return the share of real features with a drawn one nearer than their ``neighbours``-th nearest real one.

    Args:
        real: (N, D).
        drawn: (M, D).
        neighbours: of a real feature among the others.
        chunk: real features at once.
    """
    found = 0
    for rows in real.split(chunk):
        radius = torch.cdist(rows, real).kthvalue(neighbours + 1).values  # the nearest one is the feature itself
        found += int((torch.cdist(rows, drawn).amin(1) <= radius).sum())
    return found / len(real)
