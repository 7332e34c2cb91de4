"""Lengths, in metres."""

FACTORS = {"m": 1.0, "km": 1000.0, "mi": 1609.344, "ft": 0.3048, "in": 0.0254, "nmi": 1852.0}


def convert(value, source, target):
    return round(value * FACTORS[source] / FACTORS[target], 6)
