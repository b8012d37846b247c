"""Makes one page of the results of many models on many tasks.

Reads every JSON file of `byola probe` and `byola robustness` below
a folder and writes a self-contained HTML page, with the same tables beside it as
Markdown (.md) and every number as CSV (.csv). For example:

  byola report --results=results/ --output=report.html

Published results of the same protocol stand beside the measured ones, marked as
published. What the page shows depends on what the results hold: scores by class,
confusion matrices, maps, learning rates, neighbours, few labels, robustness.
"""

from absl import flags

from train_lib.cli import command

RESULTS = flags.DEFINE_string(
    "results", None, "Folder with the JSON files, in sub-folders too."
)
OUTPUT = flags.DEFINE_string(
    "output", None, "Page to write, ending in .html; .md and .csv go beside it."
)
TITLE = flags.DEFINE_string("title", "Evaluation of audio embeddings", "Its heading.")


def main() -> None:
    """Writes the page and prints the results in short."""
    results = command.required("results", RESULTS.value, "results")
    output = command.required("output", OUTPUT.value, "report.html")
    from train_lib.probe.report import evaluation_page

    written = evaluation_page.write(results, output, TITLE.value)
    print(written.summary)
    print(f"written to     {' '.join(written.paths)}")


def cli() -> None:
    """Entry point of `byola report`."""
    command.run(main)


if __name__ == "__main__":
    cli()
