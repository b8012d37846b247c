"""Self-contained HTML pages: one file with style and pictures, no script, no network.

The pages are Jinja2 templates beside this module. Autoescape is on, so that a value
is text whatever it holds; a picture is given as bytes and lies inside the page.
"""

import base64
import functools
import importlib.util
import pathlib

from byola_tf.errors import UserError
from train_lib.pages import text

_TEMPLATES = pathlib.Path(__file__).parent / "templates"


def require_packages() -> None:
    """Raises UserError if a page could not be made, before the work that it shows."""
    for package in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"The page needs the package {package}, which is not installed. "
                "Install it: pip install 'byola-tf[eval]'."
            )


def render(template: str, **values) -> str:
    """Makes a page.

    Args:
        template: file name in `templates/`, such as "report.html".
        **values: what its comment says.

    Returns:
        HTML that UTF-8 can encode: what it cannot is shown as an escape.
    """
    page = _environment().get_template(template).render(values)
    return page.encode("utf-8", "backslashreplace").decode()


@functools.cache
def _environment():
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"data_uri": _data_uri, "percent": text.percent}
    return environment


def _data_uri(picture: bytes) -> str:
    """A PNG or SVG picture as an address that holds it."""
    kind = "png" if picture.startswith(b"\x89PNG") else "svg+xml"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
