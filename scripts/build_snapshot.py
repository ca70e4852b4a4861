"""Build the shipped snapshot from the folder of collected files.

Usage: python scripts/build_snapshot.py --source ../shared/data
"""

import argparse
from pathlib import Path

import snapshot_detail
import snapshot_other
import snapshot_register
import snapshot_usage
from snapshot_io import write_table

from offroute.data import schema, schema_detail
from offroute.data.snapshot import SNAPSHOT_DIR


def main() -> None:
    """Write every table and sidecar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="folder of collected files")
    parser.add_argument("--out", type=Path, default=SNAPSHOT_DIR, help="folder to write to")
    options = parser.parse_args()
    source: Path = options.source
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)

    usage = write_table(snapshot_usage.usage(source), schema.USAGE, snapshot_usage.ABOUT_USAGE, out)
    write_table(snapshot_usage.daily_top50(source), schema.DAILY, snapshot_usage.ABOUT_DAILY, out)
    models = write_table(
        snapshot_register.register(source, usage),
        schema.MODELS,
        snapshot_register.ABOUT_MODELS,
        out,
    )
    snapshot_usage.check_by_origin(usage, models, source)
    prices, unmapped = snapshot_register.prices(source, models)
    write_table(prices, schema.PRICES, snapshot_register.about_prices(unmapped), out)
    write_table(
        snapshot_register.roster(source, models),
        schema.ROSTER,
        snapshot_register.ABOUT_ROSTER,
        out,
    )
    write_table(snapshot_other.gateway(source), schema.GATEWAY, snapshot_other.ABOUT_GATEWAY, out)
    write_table(
        snapshot_other.composition(source),
        schema.COMPOSITION,
        snapshot_other.ABOUT_COMPOSITION,
        out,
    )
    write_table(snapshot_other.apps(source), schema.APPS, snapshot_other.ABOUT_APPS, out)
    write_table(
        snapshot_detail.hosts(source), schema_detail.HOSTS, snapshot_detail.ABOUT_HOSTS, out
    )
    write_table(
        snapshot_detail.app_models(source),
        schema_detail.APP_MODELS,
        snapshot_detail.ABOUT_APP_MODELS,
        out,
    )


if __name__ == "__main__":
    main()
