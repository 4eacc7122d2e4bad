"""The mail of 2005, claim by claim: what is measured, how often, and what follows from it."""
