"""The report as a web page: one file without any request, made from what the markdown report is made of."""

from resnet18.analysis.page.editions import web_editions
from resnet18.analysis.page.layout import lay_out
from resnet18.analysis.page.render import MADE_HERE, render_page

__all__ = ["MADE_HERE", "lay_out", "render_page", "web_editions"]
