"""HTML, text and figures that all reports share."""
