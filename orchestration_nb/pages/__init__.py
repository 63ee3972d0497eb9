"""How things are shown: words for numbers, tables, colours, and HTML files that need no network."""
