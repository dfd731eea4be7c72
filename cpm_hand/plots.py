"""Plots as SVG for pages in light and dark: curves, histograms, values on a hand's joints, hands over pictures.

Colours that depend on the page are its CSS classes and variables (`html_report.css`): `s0`, `s1`, … are the series,
which differ in dashes too. The scale on joints is cividis, which the colour-blind read as everybody does.
"""

import math
from collections.abc import Sequence

import numpy as np

from cpm_hand.hand import HAND, Skeleton, colours
from cpm_hand.markup import Element, element

_CIVIDIS = np.array([(0, 34, 78), (67, 78, 108), (125, 124, 120), (188, 175, 111), (254, 232, 56)])  # at 0, ¼, … 1
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 440, 290, 62, 44, 12, 14  # of a chart, and the edges around its axes
# Where the joints stand on the schematic hand: a right one, seen from its back.
_PLACES = np.array([(214, 372), (146, 330), (100, 284), (66, 236), (38, 190), (148, 224), (138, 178), (131, 134),
                    (125, 90), (208, 212), (207, 162), (206, 114), (205, 66), (266, 220), (272, 172), (277, 126),
                    (281, 82), (320, 242), (337, 202), (350, 164), (362, 126)])
_FAR = 1e5     # px; a joint farther out than this is no place on a picture
_FAINT = 0.2   # joints that score less are drawn faint


def line_chart(thresholds: Sequence[float], series: Sequence[Sequence[float]], names: Sequence[str], *, x_label: str,
               y_label: str, mark: float) -> Element:
    """Curves of shares, 0 to 1.

    Args:
        thresholds: [K], ascending from 0.
        series: [K] each; one with a NaN is not drawn.
        names: of the series.
        x_label: below the axis.
        y_label: beside the axis.
        mark: a threshold that gets an upright line.
    """
    chart, place = _axes(thresholds[-1], 1.0, x_label, y_label, mark)
    for index, (values, name) in enumerate(zip(series, names, strict=True)):
        if np.isfinite(values).all():
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, thresholds, values))
            chart.append(element("polyline", _tip(name), points=points, class_=f"line s{index % 6}"))
            for threshold, value in list(zip(thresholds, values))[::5]:
                x, y = place(threshold, value)
                chart.append(element("circle", _tip(f"{name}: {value:.3f} at {threshold:g}"), cx=x, cy=y, r=3.5,
                                     class_=f"dot s{index % 6}"))
    return chart


def histogram(counts: Sequence[Sequence[int]], names: Sequence[str], *, bin_width: float, x_label: str, y_label: str,
              mark: float) -> Element:
    """Shares of what falls into bins of one width; the last bin, set apart, holds all that lies beyond.

    Args:
        counts: [K + 1] each.
        names: of the series.
        bin_width: in the unit of the x axis, which starts at 0.
        x_label: below the axis.
        y_label: beside the axis.
        mark: a value that gets an upright line.
    """
    shares = [np.array(each) / max(sum(each), 1) for each in counts]
    bins, top = len(counts[0]) - 1, _round_up(max(float(each.max()) for each in shares))
    # The last bin stands apart, two bins' widths behind the others.
    chart, place = _axes((bins + 3) * bin_width, top, x_label, y_label, mark, ticks_to=bins * bin_width)
    x, y = place((bins + 2.5) * bin_width, 0)
    chart.append(element("text", "more", x=x, y=y + 16, text_anchor="middle"))
    edges = [*(k * bin_width for k in range(bins)), (bins + 2) * bin_width]
    for index, (each, name) in enumerate(zip(shares, names, strict=True)):
        outline = []
        for number, (edge, share) in enumerate(zip(edges, each)):
            (x0, y0), (x1, _), (_, floor) = place(edge, share), place(edge + bin_width, share), place(0, 0)
            said = f"{edge:.2f} to {edge + bin_width:.2f}" if number < bins else "more, or nowhere"
            chart.append(element("rect", _tip(f"{name}: {share:.1%} of joints, {said}"), x=x0, y=y0, width=x1 - x0,
                                 height=max(floor - y0, 0), class_=f"bar s{index % 6}"))
            outline.append(f"M{x0:.1f} {floor:.1f}V{y0:.1f}H{x1:.1f}V{floor:.1f}" if number == bins else
                           f"{'M' if number == 0 else 'L'}{x0:.1f} {y0:.1f}H{x1:.1f}")
        chart.append(element("path", d="".join(outline), class_=f"line s{index % 6}"))
    return chart


def on_joints(skeleton: Skeleton, values: Sequence[float], parts: dict[str, float], *, label: str, top: float,
              high_is_good: bool = False) -> Element:
    """A value per joint: on a schematic hand with its fingers, or as bars where the skeleton is another.

    Args:
        skeleton: of J joints.
        values: [J]; NaN where there is none.
        parts: value of each group of the skeleton, by name.
        label: what the values are, with their unit.
        top: end of the colour scale, which begins at 0.
        high_is_good: whether the dark end is the top of the scale or 0.
    """
    if skeleton != HAND:
        return _bars([*zip(skeleton.names, values)], label, top, high_is_good)
    chart = _svg(400, 420, label)
    chart.append(element("g", [_line(_PLACES[a], _PLACES[b]) for a, b in skeleton.bones], class_="limb"))
    for name, joints in skeleton.groups:
        x, y = (float(value) for value in _PLACES[joints[-1]])
        if len(joints) > 1:
            chart.append(element("text", element("tspan", name, x=x, dy=-14),
                                 element("tspan", _short(parts.get(name, math.nan)), x=x, dy=15, class_="strong"),
                                 x=x, y=y - 26, text_anchor="middle"))
    for (x, y), value, name in zip(_PLACES.tolist(), values, skeleton.names):
        fill, ink = _shade(value, top, high_is_good)
        chart.append(element("g", _tip(f"{name}: {value:.4g}"),
                             element("circle", cx=x, cy=y, r=18, fill=fill, class_="joint"),
                             element("text", _short(value), x=x, y=y + 4.5, text_anchor="middle", fill=ink)))
    for step in range(20):
        fill, _ = _shade((step + 0.5) / 20 * top, top, high_is_good)
        chart.append(element("rect", x=266 + 5 * step, y=380, width=5.5, height=10, fill=fill))
    chart.append(element("text", "0", x=266, y=406))
    chart.append(element("text", f"{top:g}", x=366, y=406, text_anchor="end"))
    return chart


def _bars(rows: list[tuple[str, float]], label: str, top: float, high_is_good: bool) -> Element:
    chart = _svg(400, 26 * len(rows) + 8, label)
    for index, (name, value) in enumerate(rows):
        fill, _ = _shade(value, top, high_is_good)
        y, length = 26 * index + 4, 200 * min(value / top, 1) if math.isfinite(value) else 0
        short = name if len(name) <= 18 else name[:17] + "…"
        chart.append(element("g", _tip(f"{name}: {value:.4g}"),
                             element("text", short, x=134, y=y + 15, text_anchor="end"),
                             element("rect", x=142, y=y, width=float(length), height=20, fill=fill, class_="joint"),
                             element("text", _short(value), x=148 + length, y=y + 15, class_="strong")))
    return chart


def hand_picture(data_uri: str, side: int, skeleton: Skeleton, truth: np.ndarray, predicted: np.ndarray,
                 label: str) -> Element:
    """A picture with the labelled hand in white and what was found in the fingers' colours, on layers of their own.

    Args:
        data_uri: of the picture, side x side px.
        side: px.
        skeleton: of J joints.
        truth: float [J, 2], px of the picture; NaN where a joint is not labelled.
        predicted: float [J, 3], x, y, score; NaN where nothing was found.
        label: for those who do not see the picture.
    """
    # The centre of the top-left pixel is (0, 0).
    chart = element("svg", element("image", href=data_uri, x=-0.5, y=-0.5, width=side, height=side), role="img",
                    aria_label=label, viewBox=f"-0.5 -0.5 {side} {side}", class_="hand")
    palette = _palette(skeleton)
    found, known = (np.abs(points[:, :2]).max(1) < _FAR for points in (predicted, truth))  # False for NaN
    shapes = [[], []]
    for inner, outer in skeleton.bones:
        if found[inner] and found[outer]:
            faint = None if predicted[[inner, outer], 2].min() >= _FAINT else "faint"
            shapes[0].append(_line(predicted[inner], predicted[outer], class_=faint))
            shapes[1].append(_line(predicted[inner], predicted[outer], class_=faint, stroke=palette[outer]))
    for joint in np.flatnonzero(found):
        x, y, score = predicted[joint].tolist()
        tip = _tip(f"{skeleton.names[joint]}, score {score:.2f}")
        shapes[1].append(element("circle", tip, cx=x, cy=y, r=4, fill=palette[joint],
                                 class_=None if score >= _FAINT else "faint"))
    chart.append(element("g", element("g", shapes[0], class_="rim"), element("g", shapes[1]), class_="predicted"))
    lines = [(truth[a], truth[b]) for a, b in skeleton.bones if known[a] and known[b]]
    points = [element("circle", _tip(f"{skeleton.names[joint]}, labelled"), cx=float(truth[joint, 0]),
                      cy=float(truth[joint, 1]), r=2.4) for joint in np.flatnonzero(known)]
    chart.append(element("g", element("g", [_line(*line) for line in lines], class_="rim"),
                         [_line(*line) for line in lines], points, class_="truth"))
    return chart


def _palette(skeleton: Skeleton) -> list[str]:
    """A colour per joint: in a hand each finger's brightest, its tip's, for the pictures here are small."""
    shown = colours(skeleton).copy()
    if skeleton == HAND:
        for _, joints in skeleton.groups:
            shown[list(joints)] = shown[joints[-1]]
    return ["#" + bytes(colour.tolist()).hex() for colour in shown]


def scale_top(values) -> float:
    """A round end for a scale that holds all finite values; 1 where there is none.

    >>> scale_top([3.2, 17.4, float("nan")]), scale_top([])
    (20.0, 1.0)
    """
    finite = [float(value) for value in values if math.isfinite(value)]
    return _round_up(max(finite, default=1.0))


def _round_up(value: float) -> float:
    """The next 1, 2, 2.5 or 5 times a power of ten, 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if value <= step * power * (1 + 1e-9))


def _axes(x_top: float, y_top: float, x_label: str, y_label: str, mark: float, ticks_to: float | None = None):
    """A chart with a grid and labels, and the function from values to its x and y."""
    def place(x: float, y: float) -> tuple[float, float]:
        return (_LEFT + x / x_top * (_WIDTH - _LEFT - _RIGHT),
                _HEIGHT - _BOTTOM - y / y_top * (_HEIGHT - _BOTTOM - _TOP))

    chart, (left, floor), (right, ceiling) = _svg(_WIDTH, _HEIGHT, f"{y_label} over {x_label}"), place(0, 0), place(
        x_top, y_top)
    for k in range(6):
        value, end = k / 5 * y_top, k / 5 * (ticks_to or x_top)
        _, y = place(0, value)
        x, _ = place(end, 0)
        chart.append(_line((left, y), (right, y), class_="grid"))
        chart.append(element("text", f"{value:.4g}", x=left - 8, y=y + 4.5, text_anchor="end"))
        chart.append(element("text", f"{end:.4g}", x=x, y=floor + 16, text_anchor="middle"))
    x, _ = place(mark, 0)
    chart.append(_line((x, floor), (x, ceiling), class_="mark"))
    chart.append(element("text", x_label, x=(left + right) / 2, y=_HEIGHT - 6, text_anchor="middle"))
    chart.append(element("text", y_label, transform=f"translate(13 {(floor + ceiling) / 2:.0f}) rotate(-90)",
                         text_anchor="middle"))
    return chart, place


def _svg(width: int, height: int, label: str) -> Element:
    return element("svg", role="img", aria_label=label, viewBox=f"0 0 {width} {height}")


def _line(start, end, **attributes) -> Element:
    return element("line", x1=float(start[0]), y1=float(start[1]), x2=float(end[0]), y2=float(end[1]), **attributes)


def _tip(text: str) -> Element:
    """What a browser says when the mouse rests there."""
    return element("title", text)


def _shade(value: float, top: float, high_is_good: bool) -> tuple[str, str] | tuple[None, None]:
    """Colour of a value, and the ink that reads on it; dark is good. None is the page's own."""
    if not math.isfinite(value):
        return None, None
    level = min(max(value / top, 0), 1)
    position = (1 - level if high_is_good else level) * (len(_CIVIDIS) - 1)
    rgb = [round(float(np.interp(position, range(len(_CIVIDIS)), channel))) for channel in _CIVIDIS.T]
    return "#" + bytes(rgb).hex(), "#fff" if position < 2.2 else "#000"


def _short(value: float) -> str:
    """Three digits or so, for there is no room for more."""
    return "–" if not math.isfinite(value) else f"{value:.0f}" if value >= 99.95 else f"{value:.1f}"
