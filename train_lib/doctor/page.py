"""The frame of a self-contained HTML page: one file, no script, no network."""

import html
from collections.abc import Iterable, Sequence

_STYLE = """
:root { --ink: #1b1f24; --soft: #5b6470; --line: #e2e6ea; --back: #f6f7f9; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans",
  sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 48px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px;
  overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 36px 0 12px; }
p { margin: 8px 0; max-width: 78ch; }
.soft { color: var(--soft); }
.cards { display: grid; gap: 12px; margin: 20px 0;
  grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); }
.card, .panel { background: #fff; border: 1px solid var(--line);
  border-radius: 8px; }
.card { padding: 12px 16px; }
.card b { display: block; font-size: 22px; font-weight: 650; }
.card span { color: var(--soft); font-size: 13px; }
.panel { padding: 4px 18px; overflow-x: auto; }
.narrow { max-width: 640px; }
.grid { display: grid; gap: 16px;
  grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); }
.grid .panel { padding: 10px; }
img { display: block; width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 13px; }
th, td { padding: 7px 12px 7px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
tr:last-child td { border-bottom: 0; }
td.number, th.number { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.item { display: grid; grid-template-columns: 104px 1fr; gap: 12px;
  padding: 11px 0; border-bottom: 1px solid var(--line); }
.item:last-child { border-bottom: 0; }
.tag { justify-self: start; align-self: start; padding: 2px 10px;
  border-radius: 999px; font-size: 12.5px; font-weight: 600;
  white-space: nowrap; }
.red { background: #fde7e5; color: #a11d14; }
.amber { background: #fdf0d3; color: #7d5200; }
.blue { background: #e3edf9; color: #1d4f88; }
.green { background: #dff3e4; color: #176330; }
summary { cursor: pointer; color: var(--soft); font-size: 13px; }
details table { margin: 4px 0 2px; font-size: 13px; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, monospace;
  font-size: 13px; }
pre { padding: 12px 16px; margin: 12px 0; overflow-x: auto; background: #fff;
  border: 1px solid var(--line); border-radius: 8px; }
@media (max-width: 560px) { .grid { grid-template-columns: 1fr; }
  .item { grid-template-columns: 1fr; gap: 4px; } }
@media print { body { background: #fff; } .panel, .card { break-inside: avoid; } }
"""


def escape(text) -> str:
    """Text for HTML; what cannot be encoded is shown as an escape."""
    text = str(text).encode("utf-8", "backslashreplace").decode()
    return html.escape(text)


def page(title: str, body: Iterable[str]) -> str:
    """A whole page; `body` is HTML, `title` is text."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    )


def cards(values: Sequence[tuple[str, str]]) -> str:
    """(number, what it is) pairs as a row of tiles; all of it text."""
    tiles = "".join(
        f'<div class="card"><b>{escape(number)}</b><span>{escape(what)}</span></div>'
        for number, what in values
    )
    return f'<div class="cards">{tiles}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence], numbers=()) -> str:
    """A table of text; `numbers` are the columns to align on the right."""

    def cells(tag, row):
        return "".join(
            f'<{tag} class="number">{escape(cell)}</{tag}>'
            if index in numbers
            else f"<{tag}>{escape(cell)}</{tag}>"
            for index, cell in enumerate(row)
        )

    lines = [f"<tr>{cells('th', head)}</tr>"] if any(head) else []
    lines += [f"<tr>{cells('td', row)}</tr>" for row in rows]
    return f"<table>{''.join(lines)}</table>"


def picture(uri: str, description: str) -> str:
    """A figure in a panel."""
    return f'<div class="panel"><img src="{uri}" alt="{escape(description)}"></div>'
