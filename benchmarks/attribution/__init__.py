"""Rules of attribution beside the truth, on a simulated server that batches continuously."""
