"""Draws as text: quantised, differenced from week to week, deflated, base64."""

import base64
import zlib

import numpy as np

from offroute._typing import FloatArray

#: Width of a quantisation step in logs: no draw moves by more than 1 %.
STEP = 0.02
#: The same for the logs of prices, which vary less and matter to dollars alone.
PRICE_STEP = 0.04
_DIGITS = 4


def pack(values: FloatArray, *, step: float = STEP) -> dict[str, object]:
    r"""Write draws of log volumes as text.

    Stored are the medians of every week and piece, and the draws' deviations from them in whole
    steps; from one week to the next a draw moves little, so that differences compress well. The
    sign goes into the last bit (zigzag), low bytes stand before high bytes.

    Parameters
    ----------
    values : ndarray, shape (k, W, A)
        Logs.
    step : float
        Width of a step: the error of a value is at most half of it.

    Returns
    -------
    dict
        ``step``; ``centre``, A lists of W numbers; ``data``, text.
    """
    centre = np.round(np.median(values, axis=0), _DIGITS)
    level = np.rint((values - centre) / step).astype(np.int32).transpose(2, 1, 0)
    difference = np.diff(level, axis=1, prepend=0)
    zigzag = ((difference << 1) ^ (difference >> 31)).astype(np.uint16)
    planes = (zigzag & 255).astype(np.uint8).tobytes() + (zigzag >> 8).astype(np.uint8).tobytes()
    data = base64.b64encode(zlib.compress(planes, 9)).decode()
    return {"step": step, "centre": centre.T.tolist(), "data": data}


def unpack(packed: dict[str, object], shape: tuple[int, int, int]) -> FloatArray:
    """Read what `pack` wrote.

    Parameters
    ----------
    packed : dict
        As of `pack`.
    shape : tuple of int
        k, W, A.

    Returns
    -------
    ndarray, shape (k, W, A)
        The values, each within half a step.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((50, 3, 2))
    >>> bool(np.abs(unpack(pack(x), x.shape) - x).max() <= STEP / 2 + 1e-12)
    True
    """
    k, W, A = shape
    planes = np.frombuffer(zlib.decompress(base64.b64decode(str(packed["data"]))), dtype=np.uint8)
    low, high = planes.reshape(2, A, W, k).astype(np.int32)
    zigzag = low + 256 * high
    level = np.cumsum((zigzag >> 1) ^ -(zigzag & 1), axis=1)
    centre = np.asarray(packed["centre"], dtype=np.float64)
    out: FloatArray = (centre[:, :, None] + float(str(packed["step"])) * level).transpose(2, 1, 0)
    return out
