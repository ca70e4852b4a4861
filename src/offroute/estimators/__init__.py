"""Layer 3: estimators, plain functions from inputs to a point estimate or a posterior."""
