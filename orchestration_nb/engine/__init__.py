"""One request; one run.

The engine knows what it uses by interfaces only: no DuckDB, no pandas, no IPython here.
"""
