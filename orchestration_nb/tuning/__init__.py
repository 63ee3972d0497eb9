"""Strategies that learn: from a comparison, from the ledger, or while they answer."""
