"""The central model in PyMC, sampled by nutpie: a second implementation of the same posterior.

Run by benchmarks/posterior.py with the interpreter of an environment that has the extra
`bench-posterior`. The mixture over unreliable families is off, here and in offroute. Everything
else is written from the equations of `offroute.estimators`: only the panel, the benchmarks and the
features of the prior mean (with the centre of the China effect) come from the package. The scales
tau, omega and s_rw are continuous half-normals here and quadrature nodes in offroute.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import arviz as az
import numpy as np
import nutpie
import pymc as pm
import pytensor.tensor as pt
from posterior import POPULATION, WEEK, functionals, quantiles

from offroute.data.snapshot import load_crosswalk, load_ledger
from offroute.estimators.gaussian_system import Features, build_features
from offroute.estimators.prior import NEUTRAL, Prior
from offroute.inference.pipeline import load_market
from offroute.measurement.ledger import Benchmarks, build_benchmarks
from offroute.measurement.market import GROUPS, Market, week_index


def walk_design(
    unit: np.ndarray, elapsed: np.ndarray, also: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Write random walks that are zero at 0 as increments between each unit's own dates.

    Returns the weights of standard normal increments in the walk at the points (`unit`,
    `elapsed`) and at the further points `also`.
    """
    every = sorted({*zip(unit, elapsed, strict=True), *zip(*also, strict=True)})
    steps = [p for p in every if p[1] != 0]

    def _weights(points: list[tuple[int, float]]) -> np.ndarray:
        out = np.zeros((len(points), len(steps)))
        for j, (u, t) in enumerate(steps):
            nearer = [abs(s) for v, s in steps if v == u and s * t > 0 and abs(s) < abs(t)]
            width = np.sqrt(abs(t) - max(nearer, default=0.0))
            for i, (v, s) in enumerate(points):
                if v == u and s * t > 0 and abs(s) >= abs(t):
                    out[i, j] = width
        return out

    return (
        _weights(list(zip(unit, elapsed, strict=True))),
        _weights(list(zip(*also, strict=True))),
    )


def tier_weights(f: Features, b: Benchmarks, pairs: list[tuple[int, int]]) -> dict[str, np.ndarray]:
    """Return where a benchmark weighs the tiers of a unit unlike each other, and how."""
    bent = [p for p, (i, u) in enumerate(pairs) if np.ptp(b.w[i, f.unit == u]) > 0]
    cells = [(k, c) for k, p in enumerate(bent) for c in np.flatnonzero(f.unit == pairs[p][1])]
    slot, cell = (np.array(x) for x in zip(*cells, strict=True))
    row = np.array([pairs[p][0] for p in bent])
    return {
        "bent": np.array(bent),
        "cell": cell,
        "of_slot": (slot == np.arange(len(bent))[:, None]).astype(float),
        "of_row": (row == np.arange(len(b))[:, None]).astype(float),
        "w": b.w[row[slot], cell],
        "mix": f.mix[b.week[row[slot]], cell],
    }


def build_model(
    market: Market, f: Features, b: Benchmarks, prior: Prior, week: int
) -> tuple[pm.Model, np.ndarray]:
    """Return the model and the weights of the increments in the walks of the asked week."""
    exact, flat = b.side == 0, b.flat[b.family]
    # A benchmark sees the volume of the units it covers, at its own date.
    pairs = [(i, u) for i in range(len(b)) for u in sorted(set(f.unit[b.w[i] > 0]))]
    points = sorted({(int(b.week[i]), int(u)) for i, u in pairs})
    at, unit = (np.array(x) for x in zip(*points, strict=True))
    all_units = np.arange(len(f.group))
    walk_at, walk_week = walk_design(
        unit, f.elapsed[at], (all_units, np.full(len(f.group), f.elapsed[week]))
    )
    place = np.array([points.index((int(b.week[i]), int(u))) for i, u in pairs])
    # Weight of a unit's volume: a constant, or one that depends on its split over tiers.
    tiers = tier_weights(f, b, pairs)
    even = np.zeros((len(b), len(points)))
    for p in np.setdiff1d(np.arange(len(pairs)), tiers["bent"]):
        i, u = pairs[p]
        even[i, place[p]] = b.w[i, f.unit == u][0]
    inside = b.iota * (b.w * market.X[b.week]).sum(axis=1)
    named = sorted(set(b.family[exact & ~flat]))
    tables = sorted(set(b.family[exact & flat]))
    one_family = (b.family[:, None] == np.array(named)) * (exact & ~flat)[:, None]
    one_table = (b.family[:, None] == np.array(tables)) * (exact & flat)[:, None]
    side = np.column_stack([b.origin > 0, b.origin < 0]) * ~flat[:, None]
    with pm.Model() as model:
        tau = pm.HalfNormal("tau", prior.tau)
        omega = pm.HalfNormal("omega", prior.omega)
        s_rw = pm.HalfNormal("s_rw", prior.s_rw)
        effect = pm.Normal("effect", shape=f.fixed.shape[1])
        company = pm.Normal("company", shape=int(f.company.max()) + 1)
        base = pm.Deterministic("base", f.fixed @ effect + tau * company[f.company])
        xi = pm.Deterministic("xi", f.split @ pm.Normal("price_cell", shape=f.split.shape[1]))
        beta = pm.Deterministic(
            "beta",
            prior.beta
            + prior.beta_sd * pm.Normal("beta_common")
            + prior.beta_group_sd * pm.Normal("beta_group", shape=len(GROUPS))[f.group]
            + prior.beta_unit_sd * pm.Normal("beta_unit", shape=len(f.group)),
        )
        step = pm.Normal("step", shape=walk_at.shape[1])
        G = f.mu[at, unit] + base[unit] + (beta[unit] - prior.beta) * f.rise[at, unit]
        volume = pt.exp(G + s_rw * (walk_at @ step))
        part = pt.exp(tiers["mix"] + xi[tiers["cell"]])
        weight = (tiers["of_slot"] @ (tiers["w"] * part)) / (tiers["of_slot"] @ part)
        total = inside + even @ volume + tiers["of_row"] @ (volume[place[tiers["bent"]]] * weight)
        level = pt.log(total) + b.off
        bias = one_family @ (omega * pm.Normal("family", shape=len(named)))
        bias += b.q * (one_family @ pm.Normal("factor", shape=len(named)))
        bias += prior.flat * (one_table @ pm.Normal("table", shape=len(tables)))
        bias += prior.s_cm * (side @ pm.Normal("common_mode", shape=2))
        sd = np.sqrt(b.s**2 + np.where(flat, b.q**2, 0.0))
        pm.Normal("y", (level + bias)[exact], sd[exact], observed=b.y[exact])
        if not exact.all():
            spread = pt.sqrt(b.s**2 + b.q**2 + omega**2 * ~flat)
            gap = b.side * (level + bias - b.y) / spread
            pm.Potential("bound", pm.logcdf(pm.Normal.dist(), gap[~exact]).sum())
    return model, walk_week


def main() -> None:
    """Sample once; write draws of the functionals and what they cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--draws", type=int, required=True, help="per chain, after as many to tune")
    parser.add_argument("--chains", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    start = time.process_time()
    prior = replace(NEUTRAL, p_unreliable=0.0)
    market = load_market()
    b = build_benchmarks(load_ledger(), load_crosswalk(), market, population=POPULATION)
    features = build_features(market, prior)
    week = week_index(market, WEEK)
    model, walk_week = build_model(market, features, b, prior, week)
    built = time.process_time()
    compiled = nutpie.compile_pymc_model(model, backend="numba")
    ready = time.process_time()
    trace = nutpie.sample(
        compiled,
        draws=options.draws,
        tune=options.draws,
        chains=options.chains,
        seed=options.seed,
        progress_bar=False,
        save_warmup=False,
    )
    sampled = time.process_time()
    post = trace.posterior
    base, xi, beta, step = (post[name].to_numpy() for name in ("base", "xi", "beta", "step"))
    G = features.mu[week] + base + (beta - prior.beta) * features.rise[week]
    G += post["s_rw"].to_numpy()[..., None] * (step @ walk_week.T)
    part = np.exp(features.mix[week] + xi)
    of_unit = np.eye(len(features.group))[features.unit]
    D = part * (np.exp(G) / (part @ of_unit))[..., features.unit]
    draws = functionals(market, D, week)
    scales = {name: post[name].to_numpy() for name in ("tau", "omega", "s_rw")}
    np.savez(options.out, **draws, **scales)
    summary = {
        "quantiles": {name: quantiles(x) for name, x in draws.items()},
        "ess": float(az.ess(draws["log_ratio"])),
        "r_hat": max(float(az.rhat(x)) for x in (draws | scales).values()),
        "divergences": int(trace.sample_stats["diverging"].sum()),
        "gradients": int(trace.sample_stats["n_steps"].sum()),
        "parameters": int(sum(v.size for v in model.initial_point().values())),
        "build_s": built - start,
        "compile_s": ready - built,
        "sample_s": sampled - ready,
        "versions": {m.__name__: m.__version__ for m in (pm, nutpie, az)},
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
