"""The populations of buyers that a share can speak of."""

from dataclasses import dataclass

from offroute.exceptions import UnknownPopulation


@dataclass(frozen=True)
class Population:
    """Who buys, and which tokens count.

    Attributes
    ----------
    name : str
        Key used in every call and printed with every number.
    description : str
        One line for people.
    """

    name: str
    description: str


POPULATIONS: dict[str, Population] = {
    p.name: p
    for p in (
        Population(
            "outside-china-external-api",
            "tokens served to customers outside mainland China through any API",
        ),
        Population(
            "world-external-api",
            "tokens served to customers everywhere through any API, Chinese clouds included",
        ),
        Population(
            "world-all-uses",
            "every token that a lab or cloud reports, its own apps included",
        ),
        Population("us-startups", "developers billed in the US who are not enterprises"),
        Population("us-enterprise", "enterprises billed in the US"),
        Population(
            "world-with-self-host",
            "world-external-api plus open weights run by their users",
        ),
    )
}


def population(name: str) -> Population:
    """Return the population of that name.

    Parameters
    ----------
    name : str
        One of the keys of `POPULATIONS`.

    Returns
    -------
    Population
        The record.

    Raises
    ------
    UnknownPopulation
        If there is none of that name.

    Examples
    --------
    >>> population("us-enterprise").description
    'enterprises billed in the US'
    """
    if name not in POPULATIONS:
        raise UnknownPopulation(
            "population",
            got=repr(name),
            rule=f"it must be one of {', '.join(POPULATIONS)}",
            next_step="Choose the population that the claim is about.",
        )
    return POPULATIONS[name]
