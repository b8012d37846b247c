"""One page about many results: reading (collection), tables (scoreboard, notes),
HTML (pages, sections, tables, pictures), Markdown and CSV (text)."""
