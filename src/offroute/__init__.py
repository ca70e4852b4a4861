"""Corrected shares of large-language-model usage from a biased panel."""

__version__ = "0.1.0"
