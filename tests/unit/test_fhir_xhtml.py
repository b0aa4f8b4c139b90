"""Narrative XHTML: what is allowed, and what it says."""

import time

import pytest

from engine.fhir.xhtml import html_to_text, is_narrative, text_to_narrative

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">{}</div>'


@pytest.mark.parametrize(
    "inner",
    ["text", "<p>a&nbsp;b</p>", '<img src="x" alt="y"/>', '<table><tr><td colspan="2">x</td></tr></table>'],
)
def test_basic_html_is_allowed(inner):
    """txt-1 and txt-2 as R4 means them, HTML's named entities included."""
    assert is_narrative(DIV.format(inner))


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "  \n",
        "<p/>",
        "<script>x</script>",
        "<p>open",
        '<p onclick="x">y</p>',
        '<a href="javascript:x">y</a>',
        "<form>x</form>",
        "a & b",
    ],
)
def test_empty_broken_and_active_html_is_refused(inner):
    """Nothing that a browser would run, and nothing that says nothing."""
    assert not is_narrative(DIV.format(inner))


@pytest.mark.parametrize(
    "div", ["text", "<div>x</div>", "<p>x</p>", None, 5, '<!DOCTYPE x [<!ENTITY b "c">]>' + DIV.format("&b;")]
)
def test_what_is_no_xhtml_div_is_refused(div):
    """The namespace is required, and no document type may define entities."""
    assert not is_narrative(div)


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<div><p>One</p><p>Two</p></div>", "One\n\nTwo"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("&lt;5 &amp; &gt;3 &eacute; &#169;", "<5 & >3 é ©"),
        ("Na <5 and K >3", "Na <5 and K >3"),
        (
            "<table><tr><th>Na</th><td>140</td></tr><tr><th>K</th><td>4.1</td></tr></table>",
            "Na\t140\n\nK\t4.1",
        ),
        ("<ul><li>one<li>two</ul>", "one\ntwo"),
        ("<style>p{}</style><script>x()</script>seen<!-- not seen -->", "seen"),
        ("<pre>a\n  b</pre>", "a\nb"),
        ("  many \n  blanks  ", "many blanks"),
        ('<a title="x>y">z</a>', "z"),
        ("<!-- never ends", "never ends"),
    ],
)
def test_text_is_what_a_person_would_read(markup, text):
    """Line breaks stay, markup goes, and a less-than sign of a laboratory value is no markup."""
    assert html_to_text(markup) == text


@pytest.mark.parametrize("text", ["plain", "a < b & c\nsecond line", "陈"])
def test_text_to_narrative_and_back(text):
    """A rebuilt narrative is valid and says the same."""
    assert is_narrative(text_to_narrative(text))
    assert html_to_text(text_to_narrative(text)) == text


@pytest.mark.parametrize(
    "piece", ["<", "<a ", "<!", "<!--", '<a b="', "&", "<script>", "<div>", "</", "<![CDATA["]
)
def test_reading_takes_linear_time_on_hostile_markup(piece):
    """A note must not stop a worker: ten times the input may take about ten times as long, not a hundred."""

    def seconds(count):
        start = time.process_time()
        html_to_text(piece * count)
        return time.process_time() - start

    seconds(1000)
    assert seconds(100_000) < 40 * max(seconds(10_000), 0.002)
