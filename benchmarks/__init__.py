"""Benchmarks: how fast, how small and how right the tracker is. See README.md."""
