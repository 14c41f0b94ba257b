"""Published results recomputed through the public API, beside their published values."""
