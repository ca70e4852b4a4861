r"""Bias of a selected mean under selection that may depend on the outcome itself.

The proxy pattern-mixture indices: SMUB for means (Little, West, Boonstra and Hu 2020, J. Survey
Statistics and Methodology 8, 932-964, doi:10.1093/jssam/smz023) and MUBP for proportions (Andridge,
West, Little, Boonstra and Alvarado-Leiton 2019, J. R. Statist. Soc. C 68, 1465-1483,
doi:10.1111/rssc.12371). Selection depends on :math:`(1 - \phi) X^* + \phi Y`, X* the proxy scaled
to the outcome: phi = 0 is selection at random given the proxy, phi = 1 depends on the outcome
alone. The data say nothing about phi, so the range over phi is the answer.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_ndtr, ndtr, ndtri

from offroute._checks import check_finite
from offroute._typing import FloatArray
from offroute.exceptions import CollinearMargins, InvalidValue, NotIdentified

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

#: Random selection given the proxy, both alike, selection on the outcome alone.
PHI = (0.0, 0.5, 1.0)


@dataclass(frozen=True)
class Proxy:
    """Best linear predictor of the outcome from auxiliary variables.

    Attributes
    ----------
    correlation : float
        Correlation of proxy and outcome among the selected.
    sample_mean, sample_sd : float
        Mean and standard deviation of the proxy among the selected.
    population_mean : float
        Its mean in the population.
    outcome_sd : float
        Standard deviation of the outcome among the selected.
    """

    correlation: float
    sample_mean: float
    sample_sd: float
    population_mean: float
    outcome_sd: float


@dataclass(frozen=True)
class UnadjustedBias:
    """Bias of the selected mean for values of phi.

    Attributes
    ----------
    phi : ndarray, shape (m,)
        How far selection depends on the outcome itself.
    bias : ndarray, shape (m,)
        Selected less population mean: in standard deviations of the outcome for SMUB, as a
        proportion for MUBP.
    adjusted : ndarray, shape (m,)
        What is left after adjusting for the proxy: bias less that at phi = 0.
    low, high : float
        Smallest and largest bias over these phi.
    """

    phi: FloatArray
    bias: FloatArray
    adjusted: FloatArray
    low: float
    high: float


def proxy_from_moments(
    mean: FloatArray, covariance: FloatArray, population_mean: FloatArray
) -> Proxy:
    r"""Build the proxy from moments: no unit record is needed.

    .. math:: X = z'\beta, \qquad \beta = S_{zz}^{-1} s_{zy}

    Parameters
    ----------
    mean : ndarray, shape (1 + p,)
        Means among the selected, outcome first.
    covariance : ndarray, shape (1 + p, 1 + p)
        Covariance among the selected, outcome first.
    population_mean : ndarray, shape (p,)
        Means of the auxiliary variables in the population.

    Returns
    -------
    Proxy
        Moments of the proxy.

    Raises
    ------
    InvalidValue
        If shapes do not match or values are not finite.
    CollinearMargins
        If auxiliary variables are linearly dependent.
    NotIdentified
        If the auxiliary variables do not predict the outcome at all.

    Examples
    --------
    >>> found = proxy_from_moments(np.array([2.0, 1.0]), np.array([[4.0, 1.0], [1.0, 1.0]]),
    ...                            np.array([0.5]))
    >>> found.correlation, found.sample_mean - found.population_mean
    (0.5, 0.5)
    """
    m, s, target = (np.asarray(v, dtype=np.float64) for v in (mean, covariance, population_mean))
    p = len(target)
    if m.shape != (p + 1,) or s.shape != (p + 1, p + 1) or p == 0:
        raise InvalidValue(
            "mean and covariance",
            got=f"shapes {m.shape} and {s.shape}",
            rule=f"must hold the outcome and then {p} auxiliary variables",
            next_step="Put the outcome first.",
        )
    for name, values in (("mean", m), ("covariance", s), ("population_mean", target)):
        check_finite(values, name=name)
    if np.linalg.matrix_rank(s[1:, 1:], hermitian=True) < p:
        raise CollinearMargins(
            "covariance",
            got=f"rank below {p}",
            rule="auxiliary variables must be linearly independent",
            next_step="Drop one level of each factor.",
        )
    beta = np.linalg.solve(s[1:, 1:], s[1:, 0])
    variance = float(beta @ s[1:, 0])
    if variance <= 0 or s[0, 0] <= 0:
        raise NotIdentified(
            "covariance",
            got="no correlation of outcome and auxiliary variables",
            rule="a proxy must predict the outcome",
            next_step="Use auxiliary variables that do.",
        )
    return Proxy(
        correlation=float(np.sqrt(variance / s[0, 0])),
        sample_mean=float(beta @ m[1:]),
        sample_sd=float(np.sqrt(variance)),
        population_mean=float(beta @ target),
        outcome_sd=float(np.sqrt(s[0, 0])),
    )


def _gain(correlation: float, phi: "ArrayLike") -> tuple[FloatArray, FloatArray]:
    """Return phi and (phi + (1 - phi) rho) / (phi rho + 1 - phi)."""
    at = np.atleast_1d(np.asarray(phi, dtype=np.float64))
    if not bool(((at >= 0) & (at <= 1)).all()):
        raise InvalidValue(
            "phi", got=at.tolist(), rule="must lie in [0, 1]", next_step="Use 0, 0.5 and 1."
        )
    if not 0 < correlation <= 1:
        raise NotIdentified(
            "correlation",
            got=correlation,
            rule="a proxy must be positively correlated with the outcome",
            next_step="Use the fitted value of the outcome as the proxy.",
        )
    return at, (at + (1 - at) * correlation) / (at * correlation + 1 - at)


def smub(proxy: Proxy, *, phi: "ArrayLike" = PHI) -> UnadjustedBias:
    r"""Standardised measure of unadjusted bias of a mean.

    .. math:: SMUB(\phi) = \frac{\phi + (1 - \phi)\rho}{\phi\rho + 1 - \phi}\,
       \frac{\bar x_{sel} - \bar X}{s_x}

    Parameters
    ----------
    proxy : Proxy
        Moments of the proxy.
    phi : array_like, shape (m,)
        How far selection depends on the outcome itself, each in [0, 1].

    Returns
    -------
    UnadjustedBias
        Bias in standard deviations of the outcome; `adjusted` is the SMAB.

    Raises
    ------
    InvalidValue
        If phi leaves [0, 1].
    NotIdentified
        If the proxy's correlation is not above 0.

    Notes
    -----
    Assumes bivariate normal pattern-mixture means; a weak proxy makes the range wide (at phi = 1
    the bias grows as 1/rho). Phi is not identified.

    Examples
    --------
    >>> proxy = Proxy(0.5, 1.0, 0.5, 0.9, 2.0)
    >>> smub(proxy).bias.round(6).tolist()
    [0.1, 0.2, 0.4]
    """
    at, gain = _gain(proxy.correlation, phi)
    shift = (proxy.sample_mean - proxy.population_mean) / proxy.sample_sd
    bias = gain * shift
    return UnadjustedBias(
        at, bias, bias - proxy.correlation * shift, float(bias.min()), float(bias.max())
    )


def biserial_correlation(proxy: FloatArray, outcome: FloatArray) -> float:
    r"""Correlation of a normal proxy with the normal variable behind a binary outcome.

    Two-step maximum likelihood: the threshold from the proportion, then rho from

    .. math:: \sum_i \log \Phi\!\left( (2 y_i - 1)
       \frac{\Phi^{-1}(\bar y) + \rho z_i}{\sqrt{1 - \rho^2}} \right)

    with z the standardised proxy (Olsson, Drasgow and Dorans 1982, Psychometrika 47, 337-347,
    doi:10.1007/BF02294164).

    Parameters
    ----------
    proxy : ndarray, shape (n,)
        The proxy among the selected.
    outcome : ndarray, shape (n,)
        0 or 1.

    Returns
    -------
    float
        Biserial correlation.

    Raises
    ------
    InvalidValue
        If lengths differ, values are not finite, or the outcome is not 0 or 1.
    NotIdentified
        If proxy or outcome do not vary, or the proxy separates the outcome.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal(50_000)
    >>> y = 0.6 * x + 0.8 * rng.standard_normal(50_000) > 0.3
    >>> abs(biserial_correlation(x, y.astype(float)) - 0.6) < 0.01
    True
    """
    x, y = np.asarray(proxy, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    check_finite(x, name="proxy")
    if x.shape != y.shape or x.ndim != 1 or not bool(np.isin(y, (0.0, 1.0)).all()):
        raise InvalidValue(
            "outcome",
            got=f"shape {y.shape}",
            rule=f"must hold {x.shape} values 0 or 1",
            next_step="Code the outcome as 0 and 1.",
        )
    ones, zeros = x[y == 1], x[y == 0]
    separated = (
        len(ones) == 0 or len(zeros) == 0 or ones.min() >= zeros.max() or zeros.min() >= ones.max()
    )
    if separated:
        raise NotIdentified(
            "proxy and outcome",
            got="an outcome that does not vary, or that the proxy predicts without error",
            rule="the likelihood must have an interior maximum",
            next_step="Use a proxy and an outcome that overlap.",
        )
    z = (x - x.mean()) / x.std()
    cut = ndtri(y.mean())
    sign = 2 * y - 1

    # On the scale of atanh(rho) the likelihood has no edge.
    def _loss(eta: float) -> float:
        rho = np.tanh(eta)
        return -float(log_ndtr(sign * (cut + rho * z) * np.cosh(eta)).sum())

    return float(np.tanh(minimize_scalar(_loss, bracket=(-0.5, 0.5), tol=1e-10).x))


def mubp(
    proportion: float,
    correlation: float,
    *,
    selected: tuple[float, float],
    not_selected: tuple[float, float],
    fraction: float,
    phi: "ArrayLike" = PHI,
) -> UnadjustedBias:
    r"""Measure of unadjusted bias of a proportion.

    .. math::

       MUBP(\phi) &= (1 - f)\,[\bar y_1 - \Phi(\mu_0 / \sigma_0)], \\
       \mu_0 &= \Phi^{-1}(\bar y_1) + g\,(\bar x_0 - \bar x_1) / s_1, \qquad
       \sigma_0^2 = 1 + g^2 (s_0^2 - s_1^2) / s_1^2, \\
       g &= (\phi + (1 - \phi)\rho) / (\phi\rho + 1 - \phi).

    Parameters
    ----------
    proportion : float
        Proportion among the selected, above 0 and below 1.
    correlation : float
        Biserial correlation of the proxy with the outcome among the selected.
    selected, not_selected : tuple of two float
        Mean and variance of the proxy among the selected and among the others.
    fraction : float
        Selected part f of the population, above 0 and below 1.
    phi : array_like, shape (m,)
        How far selection depends on the outcome itself, each in [0, 1].

    Returns
    -------
    UnadjustedBias
        Selected less population proportion.

    Raises
    ------
    InvalidValue
        If a proportion, variance or phi leaves its range.
    NotIdentified
        If the correlation is not above 0, or the implied variance of the others is not positive.

    Examples
    --------
    >>> found = mubp(0.4, 0.5, selected=(0.1, 1.0), not_selected=(0.0, 1.0), fraction=0.5)
    >>> found.bias.round(4).tolist()
    [0.0096, 0.019, 0.0374]
    """
    for name, value in (("proportion", proportion), ("fraction", fraction)):
        if not 0 < value < 1:
            raise InvalidValue(
                name,
                got=value,
                rule="must lie above 0 and below 1",
                next_step="Divide percentages by 100.",
            )
    check_finite([*selected, *not_selected], name="selected and not_selected")
    check_finite(
        [selected[1], not_selected[1]], name="variance of the proxy", minimum=0, strict=True
    )
    at, gain = _gain(correlation, phi)
    rho_gain = np.concatenate([[correlation], gain])
    centre = ndtri(proportion) + rho_gain * (not_selected[0] - selected[0]) / np.sqrt(selected[1])
    variance = 1 + rho_gain**2 * (not_selected[1] - selected[1]) / selected[1]
    if bool((variance <= 0).any()):
        raise NotIdentified(
            "not_selected",
            got=f"variance {not_selected[1]:g} against {selected[1]:g} among the selected",
            rule="the implied variance of the outcome must be positive",
            next_step="Leave out phi near 1, or use a stronger proxy.",
        )
    bias = (1 - fraction) * (proportion - ndtr(centre / np.sqrt(variance)))
    return UnadjustedBias(
        at, bias[1:], bias[1:] - bias[0], float(bias[1:].min()), float(bias[1:].max())
    )
