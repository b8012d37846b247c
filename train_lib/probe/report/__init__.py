"""One page about many results: reading (collection, checking), numbers (scores,
published), what the page shows (tables, notes, pictures), and the page itself
(evaluation_page, plain)."""
