"""Strategies compared on the same items of a flow: each question paid once, each strategy shown as if it were alone."""
