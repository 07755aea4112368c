"""From blocks to markdown and HTML, and how values, names and verdicts are put into words."""
