"""The figures of a registry, in Prometheus' words. Needs ``turnkeeper[metrics]``."""
