"""The frame of a self-contained HTML page: one file, no script, no network."""

import base64
import html
from collections.abc import Iterable, Sequence

_STYLE = """
* { box-sizing: border-box; }
body { margin: 0; background: #f3f5f7; color: #1f2933;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans",
  sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 20px; margin: 0 0 8px; }
.lead { font-size: 18px; color: #3e4c59; margin: 0 0 24px; }
.quiet { color: #66737f; font-size: 14px; }
section { background: #fff; border: 1px solid #e4e8ec; border-radius: 10px;
  padding: 22px 26px; margin: 18px 0; overflow-x: auto; }
section p { margin: 6px 0 12px; max-width: 74ch; }
img { display: block; max-width: 100%; height: auto; margin: 14px auto 0; }
.grid { display: grid; gap: 14px 28px;
  grid-template-columns: repeat(auto-fit, minmax(380px, 1fr)); }
.grid img { width: 100%; margin: 6px 0 0; }
.cards { display: grid; gap: 14px; margin: 18px 0;
  grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); }
.cards div { background: #fff; border: 1px solid #e4e8ec; border-radius: 10px;
  padding: 14px 18px; }
.cards b { display: block; font-size: 24px; line-height: 1.3; }
.cards span { color: #66737f; font-size: 14px; }
table { border-collapse: collapse; width: 100%; margin: 10px 0 4px;
  font-size: 15px; }
th, td { text-align: left; padding: 7px 12px 7px 0; vertical-align: top;
  border-bottom: 1px solid #e4e8ec; overflow-wrap: anywhere; }
th { font-size: 13px; color: #66737f; font-weight: 600; }
tr:last-child td { border-bottom: 0; }
td.number, th.number { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
td small { color: #66737f; display: block; font-size: 13px; }
.bar { background: #e4e8ec; border-radius: 4px; height: 12px; min-width: 180px; }
.bar i { display: block; height: 12px; border-radius: 4px; background: #9aa5b1; }
tr.model .bar i { background: #2563a8; }
tr.model td { font-weight: 600; } tr.model small { font-weight: 400; }
.columns { display: grid; grid-template-columns: 1fr 1fr; gap: 8px 40px; }
.item { display: grid; grid-template-columns: 100px 1fr; gap: 14px;
  padding: 12px 0; border-bottom: 1px solid #e4e8ec; }
.item:last-child { border-bottom: 0; padding-bottom: 0; }
.tag { justify-self: start; align-self: start; padding: 1px 11px;
  border-radius: 999px; font-size: 13px; font-weight: 600; white-space: nowrap; }
.red { background: #fde7e5; color: #a11d14; }
.amber { background: #fdf0d3; color: #7d5200; }
.blue { background: #e3edf9; color: #1d4f88; }
.green { background: #dff3e4; color: #176330; }
summary { cursor: pointer; color: #66737f; font-size: 14px; }
details table { font-size: 13px; margin: 4px 0 0; }
pre { background: #f3f5f7; border-radius: 6px; padding: 12px 14px; overflow-x: auto;
  font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono",
  monospace; }
@media (max-width: 640px) {
  .grid, .item, .columns { grid-template-columns: 1fr; gap: 4px; } }
@media screen and (prefers-color-scheme: dark) {
  :root { color-scheme: dark; }
  body { background: #14191f; color: #dde3e9; }
  section, .cards div { background: #1c232b; border-color: #323c47; }
  .lead { color: #b6c1cc; }
  .quiet, .cards span, th, td small, summary { color: #95a3b0; }
  th, td, .item { border-color: #323c47; }
  .bar { background: #323c47; } .bar i { background: #77848f; }
  tr.model .bar i { background: #5b97db; }
  pre { background: #14191f; }
  .red { background: #4a1d1a; color: #ffb4ab; }
  .amber { background: #443208; color: #ffd68a; }
  .blue { background: #1b3553; color: #a9d0ff; }
  .green { background: #173b22; color: #a3e3b4; }
  img { background: #fff; border-radius: 6px; } }
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""


def page(title: str, lead: str, parts: Iterable[str], style: str = "") -> str:
    """A whole page; `title` and `lead` are text, `parts` HTML, `style` CSS."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{escape(title)}</h1>\n"
        f'<p class="lead">{escape(lead)}</p>\n'
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def escape(text) -> str:
    """Text for HTML; what cannot be encoded is shown as an escape."""
    return html.escape(str(text).encode("utf-8", "backslashreplace").decode())


def section(heading: str, content: str) -> str:
    """A part of the page under a heading (text); `content` is HTML."""
    return f"<section><h2>{escape(heading)}</h2>{content}</section>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of text; `kind` is "" or "quiet"."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def cards(values: Sequence[tuple[str, str]]) -> str:
    """(number, what it is) pairs of text as a row of tiles."""
    tiles = "".join(
        f"<div><b>{escape(number)}</b><span>{escape(what)}</span></div>"
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


def picture(content: bytes, description: str) -> str:
    """A PNG or SVG picture, inside the page."""
    kind = "png" if content.startswith(b"\x89PNG") else "svg+xml"
    encoded = base64.b64encode(content).decode()
    return f'<img alt="{escape(description)}" src="data:image/{kind};base64,{encoded}">'


def item(tag: str, colour: str, content: str) -> str:
    """A line with a coloured tag (red, amber, blue, green) before HTML."""
    return (
        f'<div class="item"><span class="tag {colour}">{escape(tag)}</span>'
        f"<div>{content}</div></div>"
    )


def folded(summary: str, content: str) -> str:
    """HTML that shows when its summary (text) is clicked."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"
