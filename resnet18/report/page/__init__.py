"""The report as a web page: one file without any request, made from what the markdown report is made of."""

from resnet18.report.page.render import MADE_HERE, render_page

__all__ = ["MADE_HERE", "render_page"]
