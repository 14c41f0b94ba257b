"""A proxy in front of an OpenAI-compatible server: each reply carries its footprint.

Client to upstream, and back: ``app`` tells what is measured from what only passes through;
``exchange`` does one request; ``inbox`` and ``upstream`` are its two ends; ``asked`` and
``told`` read what goes by; ``plain`` and ``stream`` put the footprint in.
"""
