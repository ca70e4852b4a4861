r"""Self-hosting (C9): tokens of open weights that their users run, on no meter.

With H self-run tokens a week, a part c of those of Chinese and US weights being Chinese,

.. math:: R(H) = \log\frac{Y_{CN} + c H}{Y_{US} + (1 - c) H}, \qquad
   R(0) = R, \quad R(\infty) = \log\frac{c}{1-c}, \qquad
   H^* = \frac{Y_{US} - Y_{CN}}{2c - 1} .

Whatever H is, R(H) lies between its two ends. No figure gives H: the ledger has downloads, revenue
and surveys. Downloads give c, badly; H is left free, so that the effect has bounds only, and
:math:`H^*` says how large H must be for China to lead.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from offroute._checks import check_columns, check_finite
from offroute._typing import FloatArray
from offroute.exceptions import InvalidValue, SchemaError
from offroute.inference.identification import Identification
from offroute.inference.mechanisms.counterfactual import china_over_us, triple
from offroute.inference.mechanisms.effect import Effect
from offroute.inference.shares import Volumes

#: Rows of the ledger that compare downloads of Chinese and US weights: the row's value against the
#: US figure that its unit names, in millions or per cent.
DOWNLOADS = {"atom_downloads_cn": 723.0, "hf_dl_share_2025": 15.8}
#: Rows that speak of self-run use without a size that compares.
OTHERS = ("qwen_hf_2026-01", "zai_onprem_2025", "S-08")
#: A download is no token: log odds of the Chinese part of tokens around that of downloads.
DOWNLOAD_SD = 1.0
_NORMAL_90 = 1.6448536269514722
_EVEN = 0.5


@dataclass(frozen=True)
class SelfHosting:
    """What self-run tokens could do.

    Attributes
    ----------
    effect : Effect
        Bounds on the change of the log ratio; the parameter is the Chinese part of self-run tokens.
    part : tuple of float
        Chinese part of self-run tokens of Chinese and US weights: low, middle, high.
    break_even : tuple of float
        Self-run tokens a week at which China draws level, at the middle part: low, median, high
        over the posterior; 0 where China leads without them, inf where the part is not above a
        half.
    by_size : pandas.DataFrame
        ``multiple`` of the open-weight tokens sold through APIs; ``low``, ``median``, ``high`` of
        the log ratio at the middle part, and ``p_china_leads``.
    """

    effect: Effect
    part: tuple[float, float, float]
    break_even: tuple[float, float, float]
    by_size: pd.DataFrame


def chinese_part(ledger: pd.DataFrame) -> tuple[float, float, float]:
    """Chinese part of the self-run tokens of Chinese and US weights, from downloads.

    Parameters
    ----------
    ledger : pandas.DataFrame
        As `offroute.data.snapshot.load_ledger` returns it.

    Returns
    -------
    low, middle, high : float
        The middle is the mean log odds over the two sources of downloads; the ends are 90 % of a
        log odds error of 1, which is a judgement: downloads count pulls of small models by
        machines.

    Raises
    ------
    SchemaError
        If a row of downloads is not in the ledger.
    """
    check_columns(ledger, ["id", "value"], name="ledger")
    rows = ledger.set_index("id")["value"]
    missing = [name for name in DOWNLOADS if name not in rows.index]
    if missing:
        raise SchemaError(
            "ledger",
            got=f"no row {missing[0]}",
            rule=f"must have the rows {', '.join(DOWNLOADS)}",
            next_step="Use the shipped ledger, or pass the Chinese part.",
        )
    odds = [np.log(float(rows[name]) / us) for name, us in DOWNLOADS.items()]
    middle = float(np.mean(odds))
    ends = middle + np.array([-1.0, 0.0, 1.0]) * _NORMAL_90 * DOWNLOAD_SD
    low, at, high = 1 / (1 + np.exp(-ends))
    return float(low), float(at), float(high)


def with_self_run(v: Volumes, part: float, size: FloatArray) -> FloatArray:
    """Log(China / US) after adding self-run tokens.

    Parameters
    ----------
    v : Volumes
        Corrected volumes.
    part : float
        Chinese part of the self-run tokens of Chinese and US weights.
    size : ndarray, shape (k,)
        Self-run tokens a week in each draw.

    Returns
    -------
    ndarray, shape (k,)
        The log ratio.
    """
    china, us = _sides(v)
    return np.asarray(np.log(china + part * size) - np.log(us + (1 - part) * size))


def _sides(v: Volumes) -> tuple[FloatArray, FloatArray]:
    origin = v.labels["origin"].to_numpy()
    return v.Y[:, origin == "China"].sum(axis=1), v.Y[:, origin == "US"].sum(axis=1)


def with_any_self_run(
    found: Identification, v: Volumes, part: tuple[float, float, float], *, level: float = 0.9
) -> Identification:
    r"""Add the bounds that hold for any amount of self-run tokens to those of a population.

    .. math:: \min\Bigl(R_l, \log\frac{c_l}{1 - c_l}\Bigr) \le R(H) \le
       \max\Bigl(R_h, \log\frac{c_h}{1 - c_h}\Bigr), \qquad H \ge 0

    Parameters
    ----------
    found : Identification
        Of the population with self-run tokens.
    v : Volumes
        Corrected volumes of the population without them.
    part : tuple of float
        Low, middle and high of the Chinese part of self-run tokens, as of `chinese_part`.
    level : float
        Probability of the interval of R.

    Returns
    -------
    Identification
        With one more row of bounds, on China's share.

    Raises
    ------
    InvalidValue
        If the parts are not ordered inside (0, 1).

    Notes
    -----
    Assumes that R lies in its interval and the Chinese part in its range, which is a judgement;
    nothing is assumed of the amount.
    """
    _check_part(part)
    low, _, high = triple(china_over_us(v, v.Y), level)
    ends = min(low, float(logit(part[0]))), max(high, float(logit(part[2])))
    name = (
        f"if {part[0]:.0%} to {part[2]:.0%} of self-run tokens are Chinese, whatever their amount, "
        f"on top of {v.population} ({100 * level:g} % interval)"
    )
    row = (name, float(expit(ends[0])), float(expit(ends[1])))
    return replace(found, bounds=(*found.bounds, row))


def _check_part(part: tuple[float, float, float]) -> None:
    if not 0 < part[0] <= part[1] <= part[2] < 1:
        raise InvalidValue(
            "part",
            got=part,
            rule="must be low, middle and high inside (0, 1)",
            next_step="Use chinese_part, or state a range of your own.",
        )


def self_hosting(
    v: Volumes,
    part: tuple[float, float, float],
    *,
    level: float = 0.9,
    multiples: tuple[float, ...] = (0.1, 0.5, 1.0, 2.0, 5.0),
) -> SelfHosting:
    r"""Bound what self-run tokens do to China against the US.

    Parameters
    ----------
    v : Volumes
        Corrected volumes of one week, of a population without self-run tokens.
    part : tuple of float
        Low, middle and high of the Chinese part, as of `chinese_part`.
    level : float
        Probability of the posterior intervals that the bounds are taken over.
    multiples : tuple of float
        Sizes to show, in units of the open-weight tokens sold through APIs.

    Returns
    -------
    SelfHosting
        Bounds over all sizes of self-run use and over the range of the part: the change lies
        between 0 (none) and log(c / (1 - c)) - R (nothing else counts), at the ends of the
        posterior interval of R.

    Raises
    ------
    InvalidValue
        If the parts are not ordered inside (0, 1), or a multiple is negative.

    Notes
    -----
    Hosts' own figures (open-weight clouds) are API sales and stand in the likelihood of the API
    populations already: counting them here would count them twice.
    """
    check_finite(multiples, name="multiples", minimum=0)
    _check_part(part)
    R = china_over_us(v, v.Y)
    low_R, _, high_R = triple(R, level)
    limit = logit(part)
    bounds = (min(0.0, float(limit[0] - high_R)), max(0.0, float(limit[2] - low_R)))
    understated = limit[0] > high_R
    china, us = _sides(v)
    open_weights = (v.labels["weights"] == "open").to_numpy()
    sold = v.Y[:, open_weights].sum(axis=1)
    rows = []
    for m in multiples:
        moved = with_self_run(v, part[1], m * sold)
        rows.append((m, *triple(moved, level), float((moved > 0).mean())))
    effect = Effect(
        critique="C9",
        mechanism="self-hosting",
        population=f"{v.population} with self-run weights",
        week=v.week,
        parameter="Chinese part of self-run tokens of Chinese and US weights",
        estimate=part,
        effect=(bounds[0], np.nan, bounds[1]),
        level=level,
        evidence=(*DOWNLOADS, *OTHERS),
        direction="panel understates China" if understated else "either",
        strength="bounds only",
        note=(
            "No figure gives the size of self-run use; downloads give its composition, and a "
            f"download is no token (log odds error {DOWNLOAD_SD:g})."
        ),
    )
    even = (np.inf, np.inf, np.inf)
    if part[1] > _EVEN:
        even = triple(np.maximum(us - china, 0.0) / (2 * part[1] - 1), level)
    columns = ["multiple", "low", "median", "high", "p_china_leads"]
    return SelfHosting(effect, part, even, pd.DataFrame(rows, columns=columns))
