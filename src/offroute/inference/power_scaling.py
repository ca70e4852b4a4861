"""Sensitivity of a posterior to its prior and its likelihood by power-scaling."""

from dataclasses import dataclass

import numpy as np

from offroute._checks import check_finite
from offroute._typing import FloatArray
from offroute.estimators.psis import pareto_smooth
from offroute.exceptions import InvalidValue, UnreliablePosterior
from offroute.inference._arrays import as_draws, check_together

#: Sensitivity from which the authors of the method call a posterior sensitive.
THRESHOLD = 0.05
_MAX_K_HAT = 0.7


@dataclass(frozen=True)
class PowerScaling:
    """Sensitivity of m quantities to the power of the prior and of the likelihood.

    Attributes
    ----------
    prior, likelihood : ndarray, shape (m,)
        Cumulative Jensen-Shannon distance to the scaled posterior per doubling of the power.
    prior_shift, likelihood_shift : ndarray, shape (m,)
        Change of the posterior mean per doubling of the power, from the local slope.
    k_hat : float
        Worst Pareto shape of the four sets of weights.
    diagnosis : tuple of str, length m
        'prior-data conflict' (both at or above the threshold), 'strong prior or weak data' (the
        prior alone), or 'none'.
    """

    prior: FloatArray
    likelihood: FloatArray
    prior_shift: FloatArray
    likelihood_shift: FloatArray
    k_hat: float
    diagnosis: tuple[str, ...]


def scaled_weights(log_component: FloatArray, alpha: float) -> tuple[FloatArray, float]:
    r"""Weights that turn draws of a posterior into draws with one component raised to a power.

    .. math:: w_i \propto p(\theta_i)^{\alpha - 1}

    smoothed as Pareto-smoothed importance weights.

    Parameters
    ----------
    log_component : ndarray, shape (k,)
        Log density of the component (prior or likelihood) at each draw; constants do not matter.
    alpha : float
        Power, above 0.

    Returns
    -------
    weights : ndarray, shape (k,)
        Weights that sum to one.
    k_hat : float
        Estimated tail shape.

    Raises
    ------
    InvalidValue
        If a log density is not finite or the power is not above 0.

    Examples
    --------
    >>> weights, _ = scaled_weights(np.array([0.0, -1.0, -2.0, -3.0]), 1.0)
    >>> weights.tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    log_density = as_draws(log_component, name="log_component")
    check_finite(alpha, name="alpha", minimum=0, strict=True)
    return pareto_smooth((alpha - 1) * log_density)


def cumulative_jensen_shannon(
    draws: FloatArray, weights_p: FloatArray, weights_q: FloatArray
) -> float:
    r"""Distance between two weightings of the same draws, 0 (alike) to 1.

    .. math::

       CJS(P \| Q) = \int P \log_2 \frac{2P}{P + Q}\,dx + \frac{1}{2 \ln 2} \int (Q - P)\,dx

    for distribution functions P and Q; both directions are added, divided by their upper bound
    :math:`\int (P + Q)\,dx`, and the root is taken. The larger value for the draws and for their
    negatives is returned, so that the sign of the quantity does not matter.

    Parameters
    ----------
    draws : ndarray, shape (k,)
        Draws of the quantity.
    weights_p, weights_q : ndarray, shape (k,)
        Two sets of weights that each sum to one.

    Returns
    -------
    float
        The distance; 0 if the quantity does not vary.

    Notes
    -----
    Nguyen and Vreeken (2015), doi:10.1007/978-3-319-23525-7_11, as used by Kallioinen et al.
    (2024).

    Examples
    --------
    >>> x = np.array([0.0, 1.0])
    >>> round(cumulative_jensen_shannon(x, np.array([1.0, 0.0]), np.array([0.0, 1.0])), 6)
    1.0
    """
    return max(_one_sided(draws, weights_p, weights_q), _one_sided(-draws, weights_p, weights_q))


def _one_sided(draws: FloatArray, weights_p: FloatArray, weights_q: FloatArray) -> float:
    order = np.argsort(draws, kind="stable")
    width = np.diff(draws[order])
    p = np.cumsum(weights_p[order])[:-1]
    q = np.cumsum(weights_q[order])[:-1]
    area_p, area_q = float(p @ width), float(q @ width)
    if area_p + area_q <= 0:
        return 0.0
    middle = np.maximum(0.5 * (p + q), np.finfo(float).tiny)
    # x log x tends to 0 with x; the linear terms of the two directions cancel.
    terms = [np.where(f > 0, f * np.log2(np.maximum(f, 1e-300) / middle), 0.0) for f in (p, q)]
    divergence = float((terms[0] + terms[1]) @ width)
    return float(np.sqrt(max(divergence, 0.0) / (area_p + area_q)))


def power_scaling(
    quantities: FloatArray,
    log_prior: FloatArray,
    log_likelihood: FloatArray,
    *,
    delta: float = 0.01,
    threshold: float = THRESHOLD,
) -> PowerScaling:
    r"""Measure how strongly posterior quantities react to the prior and to the likelihood.

    With the posterior proportional to :math:`p(\theta)^{\alpha_p}\, L(\theta)^{\alpha_l}`, one
    power is moved to :math:`1 + \delta` and :math:`1/(1 + \delta)`; the sensitivity is

    .. math:: D = \frac{d(1/(1 + \delta)) + d(1 + \delta)}{2 \log_2 (1 + \delta)}

    with d the cumulative Jensen-Shannon distance to the posterior. The shift of a mean is
    :math:`\ln 2 \cdot \mathrm{Cov}(q, \log p)`.

    Parameters
    ----------
    quantities : ndarray, shape (k, m) or (k,)
        Equally weighted posterior draws of the quantities.
    log_prior : ndarray, shape (k,)
        Log prior density of each draw; of part of the parameters if only that part is in question.
    log_likelihood : ndarray, shape (k,)
        Log likelihood of each draw.
    delta : float
        Step of the power.
    threshold : float
        Sensitivity from which a diagnosis is made.

    Returns
    -------
    PowerScaling
        Sensitivities, shifts and diagnosis.

    Raises
    ------
    InvalidValue
        If draws are not finite, of different length, or `delta` is not above 0.
    UnreliablePosterior
        If the weights have a tail shape above 0.7.

    Notes
    -----
    Local: it says nothing about a prior of another family or far away. Scaling a normal prior by
    alpha divides its variance by alpha. Kallioinen, Paananen, Buerkner and Vehtari (2024),
    Statistics and Computing 34, 57, doi:10.1007/s11222-023-10366-5.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> theta = rng.normal(0.5, np.sqrt(0.5), 20_000)
    >>> found = power_scaling(theta, -0.5 * theta**2, -0.5 * (theta - 1) ** 2)
    >>> bool(abs(found.prior_shift[0] + 0.5 * 0.5 * np.log(2)) < 0.01)
    True
    """
    q = as_draws(quantities, name="quantities", ndim=(1, 2))
    q = q[:, None] if q.ndim == 1 else q
    logs = [as_draws(log_prior, name="log_prior"), as_draws(log_likelihood, name="log_likelihood")]
    check_together("quantities, log_prior and log_likelihood", q, *logs)
    check_finite(delta, name="delta", minimum=0, strict=True)
    if not 0 < threshold < np.inf:
        raise InvalidValue(
            "threshold",
            got=threshold,
            rule="must be above 0",
            next_step="The authors of the method use 0.05.",
        )
    equal = np.full(len(q), 1 / len(q))
    worst = 0.0
    distance, shift = np.zeros((2, q.shape[1])), np.empty((2, q.shape[1]))
    for row, log_density in enumerate(logs):
        for alpha in (1 / (1 + delta), 1 + delta):
            weights, k_hat = scaled_weights(log_density, alpha)
            worst = max(worst, k_hat)
            distance[row] += [
                cumulative_jensen_shannon(q[:, j], equal, weights) for j in range(q.shape[1])
            ]
        centred = log_density - log_density.mean()
        shift[row] = np.log(2) * (centred @ (q - q.mean(axis=0))) / (len(q) - 1)
    if worst > _MAX_K_HAT:
        raise UnreliablePosterior(
            "power-scaling weights",
            got=f"k-hat {worst:.2f}",
            rule=f"k-hat must be at most {_MAX_K_HAT}",
            next_step="Use a smaller delta or more draws.",
        )
    prior, likelihood = distance / (2 * np.log2(1 + delta))
    return PowerScaling(
        prior=prior,
        likelihood=likelihood,
        prior_shift=shift[0],
        likelihood_shift=shift[1],
        k_hat=worst,
        diagnosis=tuple(
            "none"
            if p < threshold
            else "prior-data conflict"
            if like >= threshold
            else "strong prior or weak data"
            for p, like in zip(prior, likelihood, strict=True)
        ),
    )
