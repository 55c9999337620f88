"""Service level objectives: declared once (`config/slo/`), counted event by event, evaluated alike
by the router, by Prometheus and in reports."""
