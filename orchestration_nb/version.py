"""The package's version, on the ground floor, because the ledger keeps it with every run."""

__version__ = "0.1.0"
