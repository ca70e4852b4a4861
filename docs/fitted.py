"""`correct` for the pages of the documentation: what several pages ask is fitted once a build."""

import os

from joblib import Memory

import offroute

# The folder is that of one state of the sources: see conf.py.
correct = Memory(os.environ["OFFROUTE_DOCS_FITS"], verbose=0).cache(offroute.correct)
