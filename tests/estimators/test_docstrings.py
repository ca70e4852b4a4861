"""Every public function for people's own logs says what it does, when it holds, and where from."""

import inspect
import re

import pytest

import offroute

ESTIMATORS = [
    "expansion",
    "poststratify",
    "calibrate",
    "entropy_balance",
    "rake",
    "soft_calibrate",
    "generalized_calibrate",
    "ipw",
    "impute",
    "doubly_robust",
    "rectify",
    "mrp",
]
INFERENCE = ["infer", "bootstrap", "jackknife"]
ESTIMANDS = ["mean", "ratio", "share", "shares_of", "smooth", "total"]
OTHERS = [
    "read_sample",
    "make_target",
    "target_from_reference",
    "balance_table",
    "summarise_weights",
    "trim",
    "trim_weights",
    "uncovered_share",
    "replicate_inference",
    "given_replicates",
    "fieller_interval",
    "delta_method",
    "composition_intervals",
    "design_effect_covariance",
    "goodman_intervals",
    "sison_glaz_intervals",
    "sup_t_band",
]
WITHOUT_EXAMPLE = {"replicate_inference"}
EQUATION = re.compile(r"``[^`]*[=*/^][^`]*``|\.\. math::|``[^`]*\bsum\b[^`]*``")
ASSUMES = re.compile(r"[Cc]onsistent|[Uu]nbiased|[Mm]inimises|[Aa]ssumes|[Hh]olds? for")
FAILS = re.compile(
    r"\bnot\b|[Bb]iased|without which|naive figure|until|too short|leans on|only|variance explodes"
)


def text_of(name):
    return inspect.getdoc(getattr(offroute, name))


def sections_of(text):
    return set(re.findall(r"^(\w+)\n-+$", text, re.MULTILINE))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_states_its_equation_its_assumptions_and_its_source(name):
    text = text_of(name)
    assert {"Parameters", "Returns", "Raises", "References", "Examples"} <= sections_of(text)
    prose = text.partition("Parameters\n")[0]
    assert EQUATION.search(prose)
    assert ASSUMES.search(prose)
    assert FAILS.search(prose)
    assert "doi:10." in text
    assert "n rows" in text
    assert "outcome's unit" in text


@pytest.mark.parametrize("name", INFERENCE)
def test_inference_states_its_variance_and_its_source(name):
    text = text_of(name)
    assert {"Parameters", "Returns", "Raises", "References", "Examples"} <= sections_of(text)
    prose = text.partition("Parameters\n")[0]
    assert EQUATION.search(prose)
    assert ASSUMES.search(prose)
    assert FAILS.search(prose)
    assert "doi:10." in text


@pytest.mark.parametrize("name", ESTIMANDS + OTHERS)
def test_the_rest_has_parameters_and_an_example(name):
    sections = sections_of(text_of(name))
    assert "Parameters" in sections
    assert name in WITHOUT_EXAMPLE or "Examples" in sections


def test_nothing_of_the_same_modules_is_forgotten():
    listed = {*ESTIMATORS, *INFERENCE, *ESTIMANDS, *OTHERS}
    modules = {offroute._HOME[name] for name in listed}
    public = {name for name, home in offroute._HOME.items() if home in modules}
    assert {name for name in public if inspect.isfunction(getattr(offroute, name))} <= listed
