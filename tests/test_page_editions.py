"""Pages in two languages side by side: they lead to each other, and none is left behind or taken from anybody."""

import re

import pytest
from builders import make_benchmark, make_record
from pages import record_all

from resnet18.analysis.contents import contents_of
from resnet18.analysis.page import lay_out, web_editions
from resnet18.analysis.report import HEADER, write_report
from resnet18.records.store import Readings
from resnet18.spec.errors import SpecError
from resnet18.spec.load import load_benchmarks

SUITE = load_benchmarks()
CHINESE = {"README.zh.md", "report.zh.html"}


def test_each_page_links_the_other(tmp_path):
    """On top; where there is no other page there is no link."""
    mine = make_benchmark(tmp_path)
    contents = contents_of([mine], Readings(tuple(record_all([mine])), ()), lambda _: None)
    page = lay_out(contents, HEADER.partition("\n\n")[2], "", lambda _: None)
    both, alone = web_editions(page, [mine], ["zh"]), web_editions(page, [mine], [])
    link = r'<a href="([^"#]*)" lang="([^"]*)" hreflang="\2">([^<]*)</a>'

    assert [("report.zh.html", "zh-CN", "中文")] == re.findall(link, both["report.html"])
    assert [("report.html", "en-GB", "English")] == re.findall(link, both["report.zh.html"])
    assert ["report.html"] == list(alone)
    assert [] == re.findall(link, alone["report.html"])


def test_the_chinese_readme_links_the_chinese_page(tmp_path):
    """As a link, not as text that looks like one."""
    write_report(tmp_path, SUITE, Readings((make_record(),), ()), language="zh")

    assert "[report.html](report.html)" in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert " [report.zh.html](report.zh.html)" in (tmp_path / "README.zh.md").read_text(encoding="utf-8")
    assert (tmp_path / "report.zh.html").is_file()


@pytest.mark.parametrize("left", sorted(CHINESE))
def test_chinese_pages_that_are_there_are_written_again(left, tmp_path):
    """Both, even if one of them was taken away."""
    write_report(tmp_path, SUITE, Readings((make_record(),), ()), language="zh")
    for name in CHINESE - {left}:
        (tmp_path / name).unlink()
    old = (tmp_path / left).read_text(encoding="utf-8")
    write_report(tmp_path, SUITE, Readings((), ()))

    assert old != (tmp_path / left).read_text(encoding="utf-8")
    assert CHINESE <= {path.name for path in tmp_path.iterdir()}


def test_a_chinese_page_that_nobody_here_made_is_not_replaced(tmp_path):
    """Nor is anything else written."""
    (tmp_path / "report.zh.html").write_text("<p>我的</p>", encoding="utf-8")

    with pytest.raises(SpecError, match="was not made by this command"):
        write_report(tmp_path, SUITE, Readings((make_record(),), ()), language="zh")
    assert ["report.zh.html"] == [path.name for path in tmp_path.iterdir()]
