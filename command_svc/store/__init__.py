"""All of the command side's SQL: one transaction that locks, reads, lets the domain decide, and writes."""
