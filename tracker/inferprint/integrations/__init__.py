"""Hooks into frameworks: one file each."""
