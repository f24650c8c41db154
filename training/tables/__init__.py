"""The papers' tables: their rows, what a row costs, and how to train it again."""
