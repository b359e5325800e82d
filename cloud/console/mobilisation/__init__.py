"""One-press mobilisation: plans, the one question before, and the roll-call with the answers of people and doors."""
