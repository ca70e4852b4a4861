"""Write made_up_logs.csv: a stratified cluster sample of invented logs, the R scripts' input.

Run from this directory: python made_up_logs.py
"""

import csv

import numpy as np

rng = np.random.default_rng(20261123)
rows = []
for stratum, (sampled, population) in enumerate([(8, 40), (7, 25), (6, 30)]):
    for cluster in range(sampled):
        shift = rng.normal(0, 0.4)
        for _ in range(int(rng.integers(6, 15))):
            a = rng.choice(["CN", "EU", "US"], p=[0.3, 0.25, 0.45])
            b = rng.choice(["closed", "open"], p=[0.6, 0.4])
            x = rng.normal(5 + (a == "US") + shift, 1.5)
            y = 3 + 0.8 * x + 1.5 * (b == "open") + shift + rng.normal(0, 1)
            tokens = int(np.ceil(np.exp(rng.normal(3 + 0.15 * x, 1))))
            weight = population / sampled * rng.choice([1.0, 1.5, 2.0])
            rows.append(
                [
                    *(f"s{stratum}", f"s{stratum}c{cluster}", population, a, b),
                    *(round(float(x), 6), round(float(y), 6), tokens, round(float(weight), 6)),
                ]
            )
# Not when a test run collects this file.
if __name__ == "__main__":
    with open("made_up_logs.csv", "w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["stratum", "cluster", "population", "a", "b", "x", "y", "tokens", "w"])
        writer.writerows(rows)
