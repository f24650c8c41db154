"""The papers' tables: their rows, what a row costs, and training it again."""
