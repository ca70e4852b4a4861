"""Layer 5: the only place that plots, formats or writes."""
