"""Randomness: resolve one generator, spawn one child per replicate."""

import numpy as np

RngLike = int | np.random.Generator | np.random.SeedSequence | None


def resolve_rng(rng: RngLike) -> np.random.Generator:
    """Return the generator that `rng` names; a Generator is passed through.

    Parameters
    ----------
    rng : int, numpy.random.Generator, numpy.random.SeedSequence or None
        Seed, generator or seed sequence; None draws fresh entropy.

    Returns
    -------
    numpy.random.Generator
        The generator to use.
    """
    return np.random.default_rng(rng)


def spawn_seeds(rng: RngLike, n: int) -> list[np.random.SeedSequence]:
    """Return `n` independent seed sequences, the same for any number of workers.

    Parameters
    ----------
    rng : int, numpy.random.Generator, numpy.random.SeedSequence or None
        Where the entropy comes from; a Generator is advanced by its own spawn counter.
    n : int
        Number of replicates.

    Returns
    -------
    list of numpy.random.SeedSequence
        One child per replicate.
    """
    if isinstance(rng, np.random.SeedSequence):
        return rng.spawn(n)
    if isinstance(rng, np.random.Generator):
        sequence = rng.bit_generator.seed_seq
        if not isinstance(sequence, np.random.SeedSequence):
            sequence = np.random.SeedSequence(int(rng.integers(2**63)))
        return sequence.spawn(n)
    return np.random.SeedSequence(rng).spawn(n)
