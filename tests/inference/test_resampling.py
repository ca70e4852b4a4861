"""Designs, replicates and their identities."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from offroute.estimators.calibrate import calibrate, rake
from offroute.estimators.estimands import mean, total
from offroute.estimators.expansion import expansion
from offroute.estimators.intake import DesignColumns, make_design, read_sample
from offroute.estimators.point import PointEstimate, Target, make_target
from offroute.exceptions import InvalidValue, NotConverged, NotIdentified
from offroute.inference.estimate import infer
from offroute.inference.replicates import (
    bootstrap_replicates,
    given_replicates,
    jackknife_replicates,
    with_benchmark_error,
)
from offroute.inference.resampling import bootstrap, jackknife, replicate_inference
from offroute.inference.variance import degrees_of_freedom, design_variance


def clustered(seed=0):
    rng = np.random.default_rng(seed)
    stratum = np.repeat([0, 0, 0, 0, 1, 1, 1, 1, 1, 1], 12)
    cluster = np.repeat(np.arange(10), 12)
    a = rng.choice(["p", "q"], 120)
    y = rng.normal(size=120) + rng.normal(size=10)[cluster] + (a == "p")
    return pd.DataFrame(
        {"stratum": stratum, "cluster": cluster, "a": a, "y": y, "w": rng.uniform(1, 3, 120)}
    )


DESIGN = DesignColumns("stratum", "cluster")
TARGET = make_target({"a": {"p": 130, "q": 110}})


def sample(frame=None, **options):
    frame = clustered() if frame is None else frame
    keep = {"weights": "w", "design": DESIGN}
    return read_sample(frame, outcomes=["y"], covariates=["a"], **(keep | options))


def without_batches(estimator):
    """The same estimator, so that replication must call it again."""

    def call(s, target):
        point = estimator(s, target)
        values = {f: getattr(point, f) for f in PointEstimate.__dataclass_fields__}
        return PointEstimate(**(values | {"replicate": None}))

    return call


def test_variance_of_a_mean_of_independent_rows():
    y = np.random.default_rng(1).normal(size=50)
    s = read_sample(pd.DataFrame({"y": y}), outcomes=["y"])
    assert infer(expansion(s)).se[0] == pytest.approx(y.std(ddof=1) / np.sqrt(50))


def test_repeating_rows_within_clusters_changes_nothing():
    frame = clustered()
    twice = pd.concat([frame, frame]).assign(w=lambda d: d["w"] / 2)
    one, other = infer(rake(sample(frame), TARGET)), infer(rake(sample(twice), TARGET))
    np.testing.assert_allclose(one.values, other.values, rtol=1e-12)
    np.testing.assert_allclose(one.se, other.se, rtol=1e-10)


def test_a_census_of_clusters_has_no_variance():
    design = make_design(4, clusters=[0, 0, 1, 1], population_clusters=np.full(4, 2.0))
    assert design_variance(np.array([[1.0], [2], [3], [4]]), design).item() == 0
    assert degrees_of_freedom(design) == 1


def test_lonely_clusters():
    z = np.array([[1.0], [3.0], [7.0]])
    design = make_design(3, strata=[0, 0, 1])
    with pytest.raises(NotIdentified, match="one sampled cluster"):
        design_variance(z, design)
    assert design_variance(z, design, lonely="certainty").item() == pytest.approx(4)
    adjusted = 4 + (7 - z.mean()) ** 2
    assert design_variance(z, design, lonely="adjust").item() == pytest.approx(adjusted)
    with pytest.raises(NotIdentified):
        jackknife_replicates(np.ones(3), design)
    with pytest.raises(NotIdentified):
        bootstrap_replicates(np.ones(3), design)


def test_population_counts_are_checked():
    with pytest.raises(InvalidValue, match="population count"):
        make_design(3, population_clusters=[2, 2, 2])
    with pytest.raises(InvalidValue, match="one population count"):
        make_design(2, population_clusters=[5, 6])


@pytest.mark.parametrize("method", ["rao-wu", "poisson"])
def test_batches_and_repeated_calls_agree(method):
    for estimator in (rake, partial(calibrate, distance="raking"), calibrate):
        options = {"count": 12, "method": method, "rng": 5}
        batched = bootstrap(estimator, sample(), TARGET, **options).draws
        called = bootstrap(without_batches(estimator), sample(), TARGET, **options).draws
        np.testing.assert_allclose(batched, called, rtol=1e-9)


def test_batch_size_does_not_change_the_draws():
    s = sample()
    r = bootstrap_replicates(s.weights, s.design, count=8, rng=3)
    parts = np.concatenate([r.draw(i, i + 1) for i in range(8)])
    np.testing.assert_array_equal(r.draw(0, 8), parts)


def test_rao_wu_is_unbiased_for_the_variance_of_a_total():
    s = sample()
    estimator = partial(expansion, estimands=[total("y")])
    linear = infer(estimator(s, Target())).se[0]
    count = 4000
    replicated = bootstrap(estimator, s, Target(), count=count, rng=2).se[0]
    assert replicated == pytest.approx(linear, rel=4 / np.sqrt(2 * count))


def test_jackknife_of_a_total_is_the_linearised_variance():
    for design in (DESIGN, DesignColumns(clusters="cluster")):
        s = sample(design=design)
        estimator = partial(expansion, estimands=[total("y")])
        linear = infer(estimator(s, Target())).se
        np.testing.assert_allclose(jackknife(estimator, s, Target()).se, linear, rtol=1e-12)


def test_benchmark_error_reaches_the_calibrated_total_exactly():
    # Fuller (1998): the calibrated total of a benchmark has the benchmark's own variance.
    covariance = np.array([[90.0, -30], [-30, 60]])
    target = make_target({"a": {"p": 130, "q": 110}}, covariance=covariance)
    s = read_sample(
        clustered().assign(p=lambda d: (d["a"] == "p") * 1.0),
        outcomes=["y"],
        covariates=["a", "p"],
        weights="w",
        design=DesignColumns(clusters="cluster"),
    )
    estimator = partial(rake, estimands=[total("p")])
    assert infer(estimator(s, target)).se[0] == pytest.approx(np.sqrt(90))
    replicates = jackknife_replicates(s.weights, s.design)
    replicates = with_benchmark_error(replicates, target, rng=1)
    ours = replicate_inference(estimator, s, target, replicates)
    assert ours.se[0] == pytest.approx(np.sqrt(90), rel=1e-8)
    assert jackknife(estimator, s, target, rng=2).se[0] == pytest.approx(np.sqrt(90), rel=1e-8)
    drawn = bootstrap(estimator, s, target, count=2000, rng=4).se[0]
    assert drawn == pytest.approx(np.sqrt(90), rel=4 / np.sqrt(4000))


def test_benchmark_error_needs_replicates():
    target = make_target({"a": {"p": 1.0, "q": 1.0}}, covariance=np.eye(2))
    one = given_replicates(np.ones((5, 1)), scale=1.0)
    with pytest.raises(NotIdentified, match="replicates"):
        with_benchmark_error(one, target)
    assert with_benchmark_error(one, TARGET) is one


@pytest.mark.parametrize("interval", ["percentile", "bca", "normal", "t", "log"])
def test_bootstrap_intervals_contain_the_estimate(interval):
    frame = clustered().assign(y=lambda d: np.exp(d["y"]))
    e = bootstrap(rake, sample(frame), TARGET, count=200, interval=interval, rng=1)
    assert e.lower[0] < e.values[0] < e.upper[0]
    assert e.draws.shape == (200, 1)


def test_a_replicate_that_loses_a_level_is_reported():
    frame = clustered()
    frame["a"] = "p"
    frame.loc[0, "a"] = "q"
    with pytest.raises(NotConverged, match="replicate"):
        jackknife(rake, sample(frame), TARGET)


@pytest.mark.parametrize(
    "call",
    [
        lambda s: bootstrap_replicates(s.weights, s.design, count=1),
        lambda s: given_replicates(np.ones((3, 2)), scale=-1.0),
        lambda s: given_replicates(np.ones((3, 2)), scale=1.0, rscales=[1.0]),
        lambda s: infer(expansion(s), interval="percentile"),
        lambda s: bootstrap_replicates(
            s.weights, make_design(3, population_clusters=[9] * 3), method="poisson"
        ),
    ],
)
def test_unusable_options_are_refused(call):
    with pytest.raises(InvalidValue):
        call(sample())


def test_infinite_influence_is_refused():
    s = read_sample(pd.DataFrame({"y": [1.0, 2.0]}), outcomes=["y"])
    point = expansion(s, estimands=[mean("y")])
    broken = PointEstimate(
        point.values,
        point.names,
        point.weights,
        point.g_weights,
        point.influence * np.inf,
        point.design,
    )
    with pytest.raises(InvalidValue, match="influence"):
        infer(broken)
