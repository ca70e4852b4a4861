"""Layer 2: from what was recorded to what was meant."""
