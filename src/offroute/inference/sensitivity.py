"""What would have to be true for the order of two groups to flip."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offroute._checks import check_finite, check_probability
from offroute._typing import FloatArray
from offroute.exceptions import InvalidValue
from offroute.inference._arrays import as_draws, check_together, tails

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Tipping:
    """The under-sampling at which the order flips, against what is believed of it.

    Attributes
    ----------
    tipping_point : float
        Lambda* = X_a / X_b.
    coverage_ratio, low, high : float
        Median of Lambda and the ends of its interval.
    probability_below : float
        P(Lambda < Lambda*): a leads in the market.
    probability_above : float
        P(Lambda > Lambda*): b leads.
    margin : float
        (log Lambda* - E log Lambda) / sd(log Lambda); positive when a leads.
    level : float
        Coverage of the interval.
    """

    tipping_point: float
    coverage_ratio: float
    low: float
    high: float
    probability_below: float
    probability_above: float
    margin: float
    level: float


@dataclass(frozen=True)
class Robustness:
    """How much further bias the conclusion stands.

    Attributes
    ----------
    probability : ndarray, shape (m,)
        Wanted P(a leads).
    bias : ndarray, shape (m,)
        Shift of the log benchmarks of b after which a leads with that probability; negative when
        the benchmarks of b must be too high.
    in_sd : ndarray, shape (m,)
        The same in units of the bias's prior standard deviation.
    """

    probability: FloatArray
    bias: FloatArray
    in_sd: FloatArray


@dataclass(frozen=True)
class Contour:
    """Log ratio of a to b when one part of each market is larger or smaller than estimated.

    Attributes
    ----------
    factor_a : ndarray, shape (I,)
        Factors on the scaled part of a (such as the Chinese off-platform volume).
    factor_b : ndarray, shape (J,)
        Factors on the scaled part of b (such as that of the closed US models).
    log_ratio : ndarray, shape (I, J)
        Posterior median of log(Y_a / Y_b).
    probability : ndarray, shape (I, J)
        P(Y_a > Y_b).
    flip : ndarray, shape (I,)
        Factor on b at which P(Y_a > Y_b) is one half; negative when b leads whatever its factor.
    """

    factor_a: FloatArray
    factor_b: FloatArray
    log_ratio: FloatArray
    probability: FloatArray
    flip: FloatArray


def tipping_point(panel_a: "ArrayLike", panel_b: "ArrayLike") -> FloatArray:
    r"""Return the coverage ratio at which the order flips, :math:`\Lambda^* = X_a / X_b`.

    Group a leads in the market if and only if :math:`\Lambda = \pi_a / \pi_b < \Lambda^*`. It needs
    the panel alone: no benchmark and no assumption.

    Parameters
    ----------
    panel_a, panel_b : array_like
        Panel volumes above 0, in one unit.

    Returns
    -------
    ndarray
        Lambda*, of the arrays' common shape.

    Raises
    ------
    InvalidValue
        If a volume is not above 0.

    Examples
    --------
    >>> tipping_point([18.0, 19.0], [5.5, 14.0]).round(6).tolist()
    [3.272727, 1.357143]
    """
    check_finite(panel_a, name="panel_a", minimum=0, strict=True)
    check_finite(panel_b, name="panel_b", minimum=0, strict=True)
    return np.asarray(np.asarray(panel_a, dtype=np.float64) / np.asarray(panel_b, dtype=np.float64))


def break_even_coverage(panel_a: "ArrayLike", volume_b: "ArrayLike") -> FloatArray:
    r"""Return the coverage of a below which a leads, :math:`\pi^* = X_a / Y_b`.

    It needs a benchmark of b only: a leads if and only if the panel carries less than this part of
    a's market. Above 1, a leads whatever its coverage.

    Parameters
    ----------
    panel_a : array_like
        Panel volume of a, above 0.
    volume_b : array_like
        Market volume of b: a number, or draws of it.

    Returns
    -------
    ndarray
        pi*, of the arrays' common shape.

    Raises
    ------
    InvalidValue
        If a volume is not above 0.

    Examples
    --------
    >>> float(break_even_coverage(19.0, 400.0))
    0.0475
    """
    check_finite(panel_a, name="panel_a", minimum=0, strict=True)
    check_finite(volume_b, name="volume_b", minimum=0, strict=True)
    return np.asarray(
        np.asarray(panel_a, dtype=np.float64) / np.asarray(volume_b, dtype=np.float64)
    )


def tipping(
    log_coverage_ratio: FloatArray, panel_a: float, panel_b: float, *, level: float = 0.9
) -> Tipping:
    r"""Set the posterior of the coverage ratio against its tipping point.

    .. math:: P(Y_a > Y_b) = P(\Lambda < \Lambda^*), \qquad \Lambda^* = X_a / X_b

    Parameters
    ----------
    log_coverage_ratio : ndarray, shape (k,)
        Draws of log Lambda = log(X_a/X_b) - log(Y_a/Y_b).
    panel_a, panel_b : float
        Panel volumes above 0.
    level : float
        Coverage of the interval of Lambda.

    Returns
    -------
    Tipping
        Tipping point, Lambda, probabilities and margin.

    Raises
    ------
    InvalidValue
        If draws or volumes are not finite, or draws do not vary.
    UsageError
        If `level` is not between 0 and 1.

    Notes
    -----
    Not identified by the panel: log Lambda comes from outside evidence and priors alone.

    Examples
    --------
    >>> draws = np.random.default_rng(1).normal(1.5, 0.65, 100_000)
    >>> found = tipping(draws, 19.0, 14.0)
    >>> round(found.tipping_point, 4), abs(found.probability_below - 0.033) < 0.003
    (1.3571, True)
    """
    level = check_probability(level, name="level")
    draws = as_draws(log_coverage_ratio, name="log_coverage_ratio")
    point = float(tipping_point(panel_a, panel_b))
    sd = float(draws.std(ddof=1))
    if sd == 0:
        raise InvalidValue(
            "log_coverage_ratio",
            got="draws without spread",
            rule="a posterior must have spread",
            next_step="Compare a fixed coverage ratio with tipping_point itself.",
        )
    edge = np.log(point)
    low, middle, high = np.exp(np.quantile(draws, [tails(level)[0], 0.5, tails(level)[1]]))
    return Tipping(
        tipping_point=point,
        coverage_ratio=float(middle),
        low=float(low),
        high=float(high),
        probability_below=float((draws < edge).mean()),
        probability_above=float((draws > edge).mean()),
        margin=float((edge - draws.mean()) / sd),
        level=level,
    )


def robustness(
    log_ratio: FloatArray,
    *,
    bias_sd: float,
    response: float = 1.0,
    probability: "ArrayLike" = (0.05, 0.5, 0.95),
) -> Robustness:
    r"""Return the extra common bias of b's benchmarks after which a leads with given probability.

    If all benchmarks of b are too high by the log factor c, the log ratio is larger by
    :math:`\rho c`, with :math:`\rho` the posterior's response to a common shift. So a leads with
    probability p when :math:`\rho c = - q_{1-p}(R)`, q the quantile of R.

    Parameters
    ----------
    log_ratio : ndarray, shape (k,)
        Draws of log(Y_a / Y_b).
    bias_sd : float
        Prior standard deviation of the common bias, in logs.
    response : float
        Change of E log(Y_a/Y_b) per unit of common shift, above 0. One if the volume of b follows
        its benchmarks fully; a refit with shifted benchmarks measures it.
    probability : array_like, shape (m,)
        Wanted P(a leads), each between 0 and 1.

    Returns
    -------
    Robustness
        Bias in logs and in standard deviations.

    Raises
    ------
    InvalidValue
        If draws, `bias_sd`, `response` or a probability are out of range.

    Notes
    -----
    Assumes a pure shift of the posterior: widths and shapes stay. The data cannot see this bias:
    no residual or leave-one-out statistic reacts to it.

    Examples
    --------
    >>> draws = np.random.default_rng(0).normal(-0.7, 0.35, 50_000)
    >>> abs(robustness(draws, bias_sd=0.35, probability=[0.5]).in_sd[0] - 2) < 0.02
    np.True_
    """
    draws = as_draws(log_ratio, name="log_ratio")
    check_finite(bias_sd, name="bias_sd", minimum=0, strict=True)
    check_finite(response, name="response", minimum=0, strict=True)
    p = np.atleast_1d(np.asarray(probability, dtype=np.float64))
    if not bool(((p > 0) & (p < 1)).all()):
        raise InvalidValue(
            "probability",
            got=p.tolist(),
            rule="each must lie above 0 and below 1",
            next_step="0.5 asks for the shift of the median to zero.",
        )
    bias = -np.quantile(draws, 1 - p) / response
    return Robustness(probability=p, bias=bias, in_sd=bias / bias_sd)


def contour(
    part_a: tuple[FloatArray, FloatArray],
    part_b: tuple[FloatArray, FloatArray],
    *,
    factor_a: FloatArray,
    factor_b: FloatArray,
) -> Contour:
    r"""Scale the most doubtful part of each market and see who leads.

    .. math:: R(f_a, f_b) = \log(K_a + f_a S_a) - \log(K_b + f_b S_b)

    with K the part of a market that is kept and S the part that is scaled: for the US the
    off-platform volume of the closed models, for China the off-platform volume. Group a leads if
    :math:`f_b < (K_a + f_a S_a - K_b) / S_b`; the flip line is the median of the right-hand side.

    Parameters
    ----------
    part_a, part_b : tuple of two ndarray, shape (k,)
        Joint draws of the kept part (0 or more) and of the scaled part (above 0).
    factor_a : ndarray, shape (I,)
        Factors on the scaled part of a, 0 or more; 1 is the estimate.
    factor_b : ndarray, shape (J,)
        Factors on the scaled part of b.

    Returns
    -------
    Contour
        Grid of medians and probabilities with the flip line.

    Raises
    ------
    InvalidValue
        If draws or factors are negative, or draws of different length are mixed.

    Examples
    --------
    >>> kept, scaled = np.zeros(3), np.ones(3)
    >>> grid = contour((kept, 2 * scaled), (kept, scaled), factor_a=np.array([1.0]),
    ...                factor_b=np.array([1.0, 4.0]))
    >>> grid.log_ratio.round(4).tolist(), grid.flip.tolist()
    ([[0.6931, -0.6931]], [2.0])
    """
    (kept_a, scaled_a), (kept_b, scaled_b) = (
        tuple(as_draws(v, name=name) for v in part)
        for name, part in (("part_a", part_a), ("part_b", part_b))
    )
    check_together("part_a and part_b", kept_a, scaled_a, kept_b, scaled_b)
    for name, kept, scaled in (("part_a", kept_a, scaled_a), ("part_b", kept_b, scaled_b)):
        check_finite(kept, name=name, minimum=0)
        check_finite(scaled, name=name, minimum=0, strict=True)
    f_a, f_b = (np.atleast_1d(np.asarray(f, dtype=np.float64)) for f in (factor_a, factor_b))
    check_finite(f_a, name="factor_a", minimum=0, strict=True)
    check_finite(f_b, name="factor_b", minimum=0, strict=True)
    log_ratio = np.empty((len(f_a), len(f_b)))
    probability, flip = np.empty_like(log_ratio), np.empty(len(f_a))
    log_b = np.log(kept_b[:, None] + scaled_b[:, None] * f_b)
    for i, factor in enumerate(f_a):
        volume = kept_a + factor * scaled_a
        ratio = np.log(volume)[:, None] - log_b
        log_ratio[i] = np.median(ratio, axis=0)
        probability[i] = (ratio > 0).mean(axis=0)
        flip[i] = np.median((volume - kept_b) / scaled_b)
    return Contour(f_a, f_b, log_ratio, probability, flip)
