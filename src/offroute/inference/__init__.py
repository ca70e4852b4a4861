"""Layer 4: uncertainty; never knows which estimator made the influence values."""
