"""One generator per call, one child per replicate, whatever the number of workers."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from offroute._random import resolve_rng, spawn_seeds


class OwnSeed(np.random.bit_generator.ISeedSequence):
    """A seed sequence of the user's own, which cannot spawn."""

    def generate_state(self, n_words, dtype=np.uint32):
        return np.arange(1, n_words + 1, dtype=dtype)


def draws(seed):
    return np.random.default_rng(seed).standard_normal(3)


def sources():
    return {
        "int": 7,
        "sequence": np.random.SeedSequence(7),
        "generator": np.random.default_rng(7),
        "own": np.random.Generator(np.random.PCG64(OwnSeed())),
    }


def test_resolve_passes_a_generator_through():
    generator = np.random.default_rng(7)
    assert resolve_rng(generator) is generator


def test_resolve_gives_the_same_stream_for_the_same_seed():
    expected = np.random.default_rng(7).random(4)
    np.testing.assert_array_equal(resolve_rng(7).random(4), expected)
    np.testing.assert_array_equal(resolve_rng(np.random.SeedSequence(7)).random(4), expected)


def test_resolve_without_a_seed_draws_fresh_entropy():
    assert resolve_rng(None).random() != resolve_rng(None).random()


@pytest.mark.parametrize("kind", sources())
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_replicates_do_not_depend_on_the_number_of_workers(kind, workers):
    expected = [draws(seed) for seed in spawn_seeds(sources()[kind], 20)]
    with ThreadPoolExecutor(workers) as pool:
        observed = list(pool.map(draws, spawn_seeds(sources()[kind], 20)))
    np.testing.assert_array_equal(observed, expected)


@pytest.mark.parametrize("kind", sources())
def test_more_replicates_keep_the_first_ones(kind):
    few, many = (spawn_seeds(sources()[kind], n) for n in (3, 10))
    np.testing.assert_array_equal([draws(s) for s in few], [draws(s) for s in many[:3]])


@pytest.mark.parametrize("kind", sources())
def test_children_differ_from_each_other(kind):
    first = [draws(seed)[0] for seed in spawn_seeds(sources()[kind], 50)]
    assert len(set(first)) == 50


def test_children_of_a_generator_do_not_depend_on_what_it_drew_and_are_new_each_time():
    fresh, used = np.random.default_rng(7), np.random.default_rng(7)
    used.random(100)
    first = draws(spawn_seeds(fresh, 1)[0])
    np.testing.assert_array_equal(first, draws(spawn_seeds(used, 1)[0]))
    assert not np.array_equal(first, draws(spawn_seeds(fresh, 1)[0]))
