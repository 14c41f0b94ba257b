"""Receipts kept in a database, and what they add up to; described in docs/report.md."""

from inferprint_exporters.store.exporter import StoreExporter

__all__ = ["StoreExporter"]
