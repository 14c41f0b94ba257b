"""Exporters of inferprint: where settled receipts go."""
