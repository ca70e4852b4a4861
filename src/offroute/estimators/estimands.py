"""Estimands as smooth functions of weighted totals, with their linearisation.

Every estimand is ``theta = h(t)``, ``t = sum_i w_i v_i``, with columns v (n, m). Its linearised
variable is ``u_i = J v_i``, J the Jacobian of h at t (Deville 1999).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from offroute._typing import FloatArray
from offroute.estimators.point import Design, Factor, PointEstimate, Sample
from offroute.exceptions import InvalidValue, SchemaError, UsageError


@dataclass(frozen=True)
class Estimand:
    """A smooth function of weighted totals.

    Attributes
    ----------
    names : tuple of str, length k
        Names of the values.
    columns : callable
        Sample to the columns v whose totals enter, shape (n, m).
    value : callable
        Totals, shape (..., m), to values, shape (..., k).
    jacobian : callable
        Totals, shape (m,), to the Jacobian, shape (k, m).
    """

    names: tuple[str, ...]
    columns: Callable[[Sample], FloatArray]
    value: Callable[[FloatArray], FloatArray]
    jacobian: Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Linearised:
    """Estimands evaluated on one sample.

    Attributes
    ----------
    names : tuple of str, length k
        Names of the values.
    columns : numpy.ndarray of float64, shape (n, m)
        Columns whose weighted totals enter.
    estimands : tuple of Estimand
        The functions, each on its own block of columns.
    widths : tuple of int
        Number of columns of each estimand.
    """

    names: tuple[str, ...]
    columns: FloatArray
    estimands: tuple[Estimand, ...]
    widths: tuple[int, ...]

    def value(self, totals: FloatArray) -> FloatArray:
        """Return values, shape (..., k), of totals, shape (..., m).

        Parameters
        ----------
        totals : numpy.ndarray of float64, shape (..., m)
            Weighted totals of the columns.
        """
        blocks = np.split(totals, np.cumsum(self.widths)[:-1], axis=-1) if self.widths else []
        parts = [e.value(t) for e, t in zip(self.estimands, blocks, strict=True)]
        return np.concatenate(parts, -1) if parts else np.zeros((*totals.shape[:-1], 0))

    def jacobian(self, totals: FloatArray) -> FloatArray:
        """Return the Jacobian, shape (k, m), at totals, shape (m,).

        Parameters
        ----------
        totals : numpy.ndarray of float64, shape (m,)
            Weighted totals of the columns.
        """
        out = np.zeros((len(self.names), self.columns.shape[1]))
        row = col = 0
        for e, width in zip(self.estimands, self.widths, strict=True):
            block = e.jacobian(totals[col : col + width])
            out[row : row + block.shape[0], col : col + width] = block
            row, col = row + block.shape[0], col + width
        return out


def total(column: str) -> Estimand:
    """Ask for the population total of a numeric column, ``sum_i w_i y_i``, in the column's unit.

    Parameters
    ----------
    column : str
        Numeric column.

    Examples
    --------
    >>> total("tokens").names
    ('total(tokens)',)
    """
    return Estimand(
        (f"total({column})",),
        lambda s: s.numeric(column, totalled=True)[:, None],
        lambda t: t,
        lambda t: np.ones((1, 1)),
    )


def mean(column: str, *, domain: tuple[str, str] | None = None) -> Estimand:
    """Ask for the population mean ``sum w y / sum w``, of all rows or of one level of a factor.

    Parameters
    ----------
    column : str
        Numeric column.
    domain : (str, str), optional
        Factor and level that restrict the population.

    Returns
    -------
    Estimand
        Not defined (InvalidValue) when the domain has no weight.

    Examples
    --------
    >>> mean("tokens", domain=("origin", "CN")).names
    ('mean(tokens | origin=CN)',)
    """

    def _columns(sample: Sample) -> FloatArray:
        y = sample.numeric(column, totalled=True)
        inside = np.ones(sample.n) if domain is None else _indicator(sample, *domain)
        return np.column_stack([y * inside, inside])

    label = column if domain is None else f"{column} | {domain[0]}={domain[1]}"
    return Estimand((f"mean({label})",), _columns, _quotient, _quotient_jacobian)


def ratio(numerator: str, denominator: str) -> Estimand:
    """Ask for the ratio of two population totals, ``sum w y / sum w x``.

    Parameters
    ----------
    numerator : str
        Numeric column.
    denominator : str
        Numeric column.

    Examples
    --------
    >>> ratio("dollars", "tokens").names
    ('ratio(dollars/tokens)',)
    """
    return Estimand(
        (f"ratio({numerator}/{denominator})",),
        lambda s: np.column_stack(
            [s.numeric(numerator, totalled=True), s.numeric(denominator, totalled=True)]
        ),
        _quotient,
        _quotient_jacobian,
    )


def share(by: str, *, levels: Sequence[str], of: str | None = None) -> Estimand:
    """Ask for shares of a volume by level, ``sum w y 1[by = k] / sum w y``.

    Parameters
    ----------
    by : str
        Factor whose levels divide the volume.
    levels : sequence of str
        Levels to report; `shares_of` takes all levels of a sample.
    of : str, optional
        Numeric column to divide; default the sample's volume, or the number of units.

    Returns
    -------
    Estimand
        One value per level.

    Examples
    --------
    >>> share("origin", levels=["CN", "US"]).names
    ('share(origin=CN)', 'share(origin=US)')
    """
    if not levels:
        raise InvalidValue(
            "levels",
            got=levels,
            rule="a share needs the levels to report",
            next_step=f'Give levels=[...], or use shares_of(sample, "{by}").',
        )
    chosen = tuple(levels)

    def _columns(sample: Sample) -> FloatArray:
        volume = _volume(sample, of)
        inside = [volume * _indicator(sample, by, k) for k in chosen]
        return np.column_stack([*inside, volume])

    def _value(t: FloatArray) -> FloatArray:
        return _divide(t[..., :-1], t[..., -1:])

    def _jacobian(t: FloatArray) -> FloatArray:
        p = _divide(t[:-1], t[-1:])
        return np.asarray(np.column_stack([np.eye(p.size), -p]) / t[-1])

    return Estimand(tuple(f"share({by}={k})" for k in chosen), _columns, _value, _jacobian)


def shares_of(sample: Sample, by: str, *, of: str | None = None) -> Estimand:
    """Ask for shares of a volume over every level of factor `by` in the sample.

    Parameters
    ----------
    sample : Sample
        Logs, n rows.
    by : str
        Factor whose levels divide the volume.
    of : str, optional
        Numeric column to divide; default the sample's volume, or the number of units.

    Examples
    --------
    >>> import pandas as pd
    >>> from offroute.estimators.intake import read_sample
    >>> s = read_sample(pd.DataFrame({"origin": ["US", "CN"]}), outcomes=["origin"])
    >>> shares_of(s, "origin").names
    ('share(origin=CN)', 'share(origin=US)')
    """
    return share(by, levels=sample.factor(by).levels, of=of)


def smooth(name: str, function: Callable[[FloatArray], float], *, of: Sequence[str]) -> Estimand:
    """Ask for any smooth function of population totals, by the delta method.

    Parameters
    ----------
    name : str
        Name of the value.
    function : callable
        Totals, shape (len(of),), to a number; differentiable at the estimate.
    of : sequence of str
        Numeric columns whose totals enter; "(size)" is the sum of weights.

    Returns
    -------
    Estimand
        With a Jacobian by central differences (relative step 6e-6).

    Examples
    --------
    >>> smooth("log ratio", lambda t: np.log(t[0] / t[1]), of=["a", "b"]).names
    ('log ratio',)
    """
    chosen = tuple(of)

    def _columns(sample: Sample) -> FloatArray:
        ones = np.ones(sample.n)
        return np.column_stack(
            [ones if c == "(size)" else sample.numeric(c, totalled=True) for c in chosen]
        )

    def _value(t: FloatArray) -> FloatArray:
        return np.asarray(np.apply_along_axis(lambda row: np.array([function(row)]), -1, t))

    def _jacobian(t: FloatArray) -> FloatArray:
        step = 6e-6 * np.maximum(np.abs(t), 1e-12)
        pairs = [(function(t + m), function(t - m)) for m in np.diag(step)]
        return np.array(
            [[(up - down) / (2 * s) for (up, down), s in zip(pairs, step, strict=True)]]
        )

    return Estimand((name,), _columns, _value, _jacobian)


def default_estimands(sample: Sample) -> tuple[Estimand, ...]:
    """Mean of each numeric outcome and share of each categorical one.

    Parameters
    ----------
    sample : Sample
        Logs, n rows.
    """
    of = {n: isinstance(sample.columns[n], Factor) for n in sample.outcomes}
    return tuple(shares_of(sample, n) if factor else mean(n) for n, factor in of.items())


def linearise(sample: Sample, estimands: Sequence[Estimand] | None) -> Linearised:
    """Evaluate the columns of `estimands` (None: the defaults) on `sample`.

    Parameters
    ----------
    sample : Sample
        Logs.
    estimands : sequence of Estimand or None
        What to estimate.
    """
    chosen = default_estimands(sample) if estimands is None else _listed(estimands)
    blocks = [e.columns(sample) for e in chosen]
    names = tuple(name for e in chosen for name in e.names)
    columns = np.concatenate([np.zeros((sample.n, 0)), *blocks], 1)
    return Linearised(names, columns, chosen, tuple(b.shape[1] for b in blocks))


def _listed(estimands: Sequence[Estimand]) -> tuple[Estimand, ...]:
    one = isinstance(estimands, (Estimand, str))
    if one or not all(isinstance(e, Estimand) for e in estimands):
        raise UsageError(
            "estimands",
            got=estimands,
            rule="a list of what mean, share, ratio, total or smooth return",
            next_step='For example, pass estimands=[mean("tokens")].',
        )
    return tuple(estimands)


def weighted_point(
    lin: Linearised,
    weights: FloatArray,
    *,
    g_weights: FloatArray,
    design: Design,
    residualise: Callable[[FloatArray], FloatArray] | None = None,
    diagnostics: dict[str, float] | None = None,
) -> PointEstimate:
    """Assemble the estimate of a weighting estimator.

    Values are ``h(sum w v)``, influence values ``w_i (u_i - fitted u_i)``: `residualise` maps u,
    shape (n, k), to what the estimation of the weights leaves.

    Parameters
    ----------
    lin : Linearised
        Estimands evaluated on the sample.
    weights, g_weights : numpy.ndarray of float64, shape (n,)
        Final weights, and these over the base weights.
    design : Design
        Strata, clusters and population counts.
    residualise : callable, optional
        Map of u to its residuals.
    diagnostics : dict, optional
        Numbers about the fit.

    Returns
    -------
    PointEstimate
        Without `replicate` and without external covariance.
    """
    totals = weights @ lin.columns
    u = lin.columns @ lin.jacobian(totals).T
    left = u if residualise is None or not lin.names else residualise(u)
    return PointEstimate(
        values=lin.value(totals),
        names=lin.names,
        weights=weights,
        g_weights=g_weights,
        influence=weights[:, None] * left,
        design=design,
        diagnostics=diagnostics or {},
    )


def _divide(part: FloatArray, whole: FloatArray) -> FloatArray:
    if (whole == 0).any():
        raise InvalidValue(
            "denominator",
            got="a weighted total of 0",
            rule="a mean, share or ratio needs a positive denominator, in every replicate too",
            next_step="Choose a domain or volume that has sampled units.",
        )
    return np.asarray(part / whole)


def _quotient(t: FloatArray) -> FloatArray:
    return _divide(t[..., :1], t[..., 1:])


def _quotient_jacobian(t: FloatArray) -> FloatArray:
    _quotient(t)
    return np.array([[1 / t[1], -t[0] / t[1] ** 2]])


def _volume(sample: Sample, of: str | None) -> FloatArray:
    if of is not None:
        return sample.numeric(of, totalled=True)
    return np.ones(sample.n) if sample.volume is None else sample.volume


def _indicator(sample: Sample, by: str, level: str) -> FloatArray:
    factor = sample.factor(by)
    if level not in factor.levels:
        raise SchemaError(
            by,
            got=f"level {level!r}",
            rule=f"levels in the sample are {list(factor.levels)}",
            next_step="Name one of those levels.",
        )
    return np.asarray(factor.codes == factor.levels.index(level), dtype=np.float64)
