"""A smooth function of one tensor is made small by L-BFGS over all shots at once: no learning rate, no order."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor
from torch.func import grad_and_value


def minimized(loss: Callable[[Tensor], Tensor], start: Float[Tensor, "*S"], iterations: int) -> Float[Tensor, "*S"]:
    """Minimize ``loss`` by L-BFGS, starting from ``start``.

    Args:
        loss: of a tensor shaped as the start, a number.
        start: where to begin; it is not changed.
        iterations: at most so many; none returns the start.
    """
    if iterations == 0 or not start.numel():
        return start.clone()
    slope = grad_and_value(loss)

    def at(point: Float[np.ndarray, " P"]) -> tuple[float, Float[np.ndarray, " P"]]:
        gradient, value = slope(torch.from_numpy(point).to(start).view_as(start))
        return float(value), gradient.reshape(-1).double().cpu().numpy()

    first = start.reshape(-1).double().cpu().numpy()
    found = minimize(at, first, jac=True, method="L-BFGS-B", options={"maxiter": iterations, "maxcor": 5})
    return torch.from_numpy(found.x).to(start).view_as(start)
