"""HTML and SVG as a tree, so that text from outside (file names, joint names) is escaped wherever it lands."""

from collections.abc import Iterable
from xml.etree import ElementTree

Element = ElementTree.Element


def element(tag: str, *children, **attributes) -> Element:
    """An element with its attributes and what is in it.

    Args:
        tag: its name.
        *children: elements, text, numbers, and lists of these, in order; None is left out.
        **attributes: numbers get at most two decimals; `_` stands for `-`, and one at the end of a Python word goes
            (`class_`); None is left out.

    >>> page(element("p", "a < b", element("b", 1.5, class_="x"), stroke_width=2.0, title=None))
    '<p stroke-width="2">a &lt; b<b class="x">1.5</b></p>'
    """
    node = Element(tag, {name.rstrip("_").replace("_", "-"): _text(value)
                         for name, value in attributes.items() if value is not None})
    for child in _flat(children):
        if isinstance(child, Element):
            node.append(child)
        elif len(node):
            node[-1].tail = (node[-1].tail or "") + _text(child)
        else:
            node.text = (node.text or "") + _text(child)
    return node


def page(root: Element) -> str:
    """The tree as text; in `style` and `script` HTML knows no escapes, so nothing from outside may go there."""
    return ElementTree.tostring(root, encoding="unicode", method="html")


def _flat(children) -> Iterable:
    for child in children:
        if isinstance(child, (list, tuple)):
            yield from _flat(child)
        elif child is not None:
            yield child


def _text(value) -> str:
    if isinstance(value, float):
        value = round(value, 2)
        return f"{value:.0f}" if value == int(value) else str(value)
    # File names may hold bytes that are no text; they stand in Python's strings as halves of a pair.
    return str(value).encode("utf-8", "backslashreplace").decode()
