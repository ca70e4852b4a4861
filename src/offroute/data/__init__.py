"""Layer 1: reading and describing; no statistics."""
