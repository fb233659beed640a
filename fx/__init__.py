"""Money and currencies. Imports nothing else of this project."""
