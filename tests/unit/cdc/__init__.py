"""Change data capture without a broker."""
