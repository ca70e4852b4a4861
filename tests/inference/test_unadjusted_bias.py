"""SMUB and MUBP against the authors' R functions; refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from offroute.exceptions import CollinearMargins, InvalidValue, NotIdentified
from offroute.inference.defect import defect_correlation, effective_size
from offroute.inference.unadjusted_bias import (
    Proxy,
    biserial_correlation,
    mubp,
    proxy_from_moments,
    smub,
)

HERE = Path(__file__).parents[1] / "oracles"
ORACLE = json.loads((HERE / "selection_indices.json").read_text())
BISERIAL = json.loads((HERE / "biserial_made_up.json").read_text())
# The oracle prints 15 digits.
PRINTED = 1e-12


def moments(entry):
    stats = entry["stats"]
    n1, n0 = stats["n1"], stats["n0"]
    target = (n1 * np.array(stats["mean_YZ"][1:]) + n0 * np.array(stats["mean_Z0"])) / (n1 + n0)
    return np.array(stats["mean_YZ"]), np.array(stats["var_YZ"]), target


@pytest.mark.parametrize("name", ["smub_numeric_codes", "smub_factors"])
def test_smub_equals_the_authors_function(name):
    entry = ORACLE[name]
    found = smub(proxy_from_moments(*moments(entry)))
    np.testing.assert_allclose(found.bias, list(entry["smub_point"].values()), rtol=1e-10)
    np.testing.assert_allclose(
        found.adjusted, list(entry["smab_point"].values()), rtol=1e-10, atol=PRINTED
    )
    assert (found.low, found.high) == (found.bias[0], found.bias[2])


def test_smub_equals_the_published_table():
    # Little et al. (2020), Table 1, months worked, women: 55, 70, 88 thousandths, r = .791.
    proxy = proxy_from_moments(*moments(ORACLE["smub_factors"]))
    assert (1000 * smub(proxy).bias).round().tolist() == [55, 70, 88]
    assert round(proxy.correlation, 3) == 0.791
    assert proxy.correlation == pytest.approx(ORACLE["smub_factors"]["r_XY"], rel=1e-12)


def mubp_of(rho, phi):
    o = ORACLE["mubp"]
    return mubp(
        o["ybar"],
        rho,
        selected=(o["xmean_0"], o["xvar_0"]),
        not_selected=(o["xmean_1"], o["xvar_1"]),
        fraction=o["sfrac"],
        phi=phi,
    ).bias


def test_mubp_equals_the_authors_function():
    expected = ORACLE["mubp"]["mubp"]
    # At phi = 1/2 the correlation does not enter.
    np.testing.assert_allclose(mubp_of(0.3, 0.5), expected["phi0.5"], rtol=1e-10)
    # The correlation that gives the value at phi = 0 must give that at phi = 1 as well.
    grid = np.linspace(0.5, 0.9, 4001)
    at_zero = np.array([mubp_of(rho, 0.0)[0] for rho in grid])
    rho = np.interp(-expected["phi0"], -at_zero, grid)
    np.testing.assert_allclose(mubp_of(rho, 1.0), expected["phi1"], rtol=1e-6)


def test_biserial_correlation_equals_base_r():
    i = np.arange(1, 401)
    x = ndtri((i * 0.6180339887498949) % 1)
    e = ndtri((i * 0.7548776662466927) % 1)
    y = (0.5 * x + np.sqrt(0.75) * e > 0.2).astype(float)
    assert y.mean() == pytest.approx(BISERIAL["mean_y"], rel=1e-14)
    assert biserial_correlation(x, y) == pytest.approx(BISERIAL["rho"], abs=1e-7)
    assert biserial_correlation(-x, y) == pytest.approx(-BISERIAL["rho"], abs=1e-7)


def test_ddc_equals_ddi():
    o = ORACLE["ddc"]
    f = o["n"] / o["N"]
    rho = defect_correlation(o["muhat"], o["mu"], f)
    assert float(rho) == pytest.approx(o["ddc"], rel=1e-12)
    assert float(effective_size(rho, f)) == pytest.approx(ORACLE["n_eff"], rel=1e-12)
    meng = ORACLE["n_eff_meng"]
    assert float(effective_size(meng["rho"], meng["f"])) == pytest.approx(meng["neff"], rel=1e-12)


@given(
    rho=st.floats(0.01, 1),
    phi=st.lists(st.floats(0, 1), min_size=2, max_size=5),
    shift=st.floats(-2, 2),
)
def test_smub_grows_with_phi_and_with_a_weaker_proxy(rho, phi, shift):
    phi = sorted(phi)
    found = smub(Proxy(rho, shift, 1.0, 0.0, 1.0), phi=phi)
    assert (np.diff(np.abs(found.bias)) >= -1e-12).all()
    assert (np.abs(found.bias) <= abs(shift) / rho + 1e-12).all()
    assert (np.abs(found.bias) >= abs(shift) * rho - 1e-12).all()


def test_without_a_shift_there_is_no_bias():
    same = mubp(0.4, 0.5, selected=(0.1, 1.0), not_selected=(0.1, 1.0), fraction=0.3)
    np.testing.assert_allclose(same.bias, 0, atol=1e-15)


def test_wrong_input_is_refused():
    proxy = Proxy(0.5, 1.0, 1.0, 0.0, 1.0)
    with pytest.raises(InvalidValue, match="phi"):
        smub(proxy, phi=1.2)
    with pytest.raises(NotIdentified, match="correlation"):
        smub(Proxy(0.0, 1.0, 1.0, 0.0, 1.0))
    with pytest.raises(InvalidValue, match="proportion"):
        mubp(1.0, 0.5, selected=(0, 1), not_selected=(0, 1), fraction=0.5)
    with pytest.raises(InvalidValue, match="variance"):
        mubp(0.5, 0.5, selected=(0, 0.0), not_selected=(0, 1), fraction=0.5)
    with pytest.raises(NotIdentified, match="variance"):
        mubp(0.5, 0.2, selected=(0, 1.0), not_selected=(0, 0.1), fraction=0.5)
    with pytest.raises(InvalidValue, match="outcome"):
        biserial_correlation(np.arange(3.0), np.array([0.0, 2.0, 1.0]))
    with pytest.raises(NotIdentified):
        biserial_correlation(np.arange(4.0), np.array([0.0, 0.0, 1.0, 1.0]))
    with pytest.raises(NotIdentified):
        biserial_correlation(np.arange(4.0), np.ones(4))
    with pytest.raises(InvalidValue, match="mean"):
        proxy_from_moments(np.ones(2), np.eye(3), np.ones(2))
    with pytest.raises(CollinearMargins):
        proxy_from_moments(np.ones(3), np.ones((3, 3)), np.ones(2))
    with pytest.raises(NotIdentified, match="correlation"):
        proxy_from_moments(np.ones(2), np.eye(2), np.ones(1))
