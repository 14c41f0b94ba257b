"""Grafana dashboards as code, with the rules and the provisioning that belong to them.

``dashboards/``, ``rules/`` and ``provisioning/`` hold the files that are used; ``inferprint
dashboards`` copies them. The dashboards are generated: ``python -m inferprint_exporters.grafana``.
"""
