"""Training as an optimisation problem with a differential equation as constraint, solved by Newton's methods (Lu2017)."""
