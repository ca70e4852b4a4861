"""Worlds in which one mechanism alone tells the panel from the market."""

from dataclasses import replace

from offroute.data.simulate import World

#: No mechanism: the panel is a fixed part of every buyer's tokens.
NO_SELECTION = World(
    "none",
    panel_growth=0.0,
    drift=0.0,
    promotions=0.0,
    stealth=0.0,
    openness=0.0,
    refuge=0.0,
    thrift=0.0,
    spread=0.0,
    habits=0.0,
)
#: Growth of demand and disclosures are those of the calibrated world.
ONE_MECHANISM: dict[str, World] = {
    w.name: w
    for w in (
        NO_SELECTION,
        replace(NO_SELECTION, name="direct-purchase", openness=1.0),
        replace(NO_SELECTION, name="reverse-selection", refuge=1.0),
        replace(NO_SELECTION, name="price", thrift=1.0),
        replace(NO_SELECTION, name="labs", spread=1.0),
        replace(NO_SELECTION, name="segments", habits=1.0),
        replace(NO_SELECTION, name="surges", promotions=2.5, promotion_size=1.3, retention=0.8),
    )
}
