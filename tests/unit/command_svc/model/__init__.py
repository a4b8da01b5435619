"""The rules of stock once more, written plainly, for the domain to be held against.

Nothing is stored that can be counted: what is reserved is the sum of what is held and what lies ready for
orders, what is in transit the sum of what is under way. Units are given out one by one where that is simpler.
"""
