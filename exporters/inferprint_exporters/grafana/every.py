"""All dashboards."""

from __future__ import annotations

from inferprint_exporters.grafana.carbon import CARBON
from inferprint_exporters.grafana.hosts import HOSTS
from inferprint_exporters.grafana.models import MODELS
from inferprint_exporters.grafana.overview import OVERVIEW

__all__ = ["DASHBOARDS"]

DASHBOARDS = (OVERVIEW, MODELS, HOSTS, CARBON)
