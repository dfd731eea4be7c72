"""What stands in a room: cupboards, tables, chairs, sofas, shelves, plants, screens, lamps, each in metres.

A piece is `f(view, x, floor, z) -> None` and begins at x, stands on the floor's height and has its front at depth z.
"""

import math

import numpy as np

from cpm_hand.rendering.paint import LIT

CLOTH = ("folds", "folds", "weave", "motif", "stripes", "natural")
FRONTS = ("wood", "wood", "natural", "smooth", "brushed", "veined")


def _pick(rng, names):
    return names[int(rng.integers(len(names)))]


def crate(view, x, floor, z):
    """A plain box."""
    rng = view.canvas.rng
    wide, high, deep = rng.uniform(0.15, 1.0, 3) * [1, 1.6, 0.6]
    texture = _pick(rng, ("wood", "natural", "weave", "page", "brushed", "keys", "stripes", "shapes"))
    view.box([x, floor - high, z], [x + wide, floor, z + deep], view.canvas.colours(1, vivid=0.04)[0], texture,
             contrast=0.1 + 0.5 * rng.random() ** 2)
    clutter(view, x, x + wide, floor - high, z + 0.05, int(rng.integers(0, 4)))


def cupboard(view, x, floor, z):
    """Doors or drawers with handles; a kitchen's row where it is wide."""
    rng, canvas = view.canvas.rng, view.canvas
    columns, rows = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    wide, high = columns * rng.uniform(0.3, 0.6), min(rows * rng.uniform(0.25, 0.8), 2.1)
    colour, texture = canvas.colours(1, rng.beta(2, 1.3), vivid=0.03)[0], _pick(rng, FRONTS)
    view.box([x, floor - high, z], [x + wide, floor, z + 0.45], colour * 0.85, texture, contrast=0.15)
    handle = canvas.colours(1, rng.choice([0.15, 0.7]))[0]
    w, h = wide / columns, (high - 0.05) / rows
    fronts = view.canvas.used + 1
    for row in range(rows):
        for column in range(columns):
            corner = [x + column * w + 0.01, floor - high + row * h + 0.01, z - 0.012]
            label = view.quad(corner, [w - 0.02, 0, 0], [0, h - 0.02, 0], colour, texture, 0.15, shade_by=0.1)
            if label >= fronts:
                canvas.materials[label, :9] *= rng.uniform(0.88, 1.12)
            upright = h > w
            at = [corner[0] + w * (0.85 if upright else 0.35), corner[1] + h * (0.4 if upright else 0.2), z - 0.03]
            view.quad(at, [0.02 if upright else w * 0.3, 0, 0], [0, h * 0.2 if upright else 0.02, 0], handle, "smooth")
    clutter(view, x, x + wide, floor - high, z + 0.05, int(rng.integers(0, 6)))


def table(view, x, floor, z):
    """A slab on legs, with what lies on it."""
    rng, canvas = view.canvas.rng, view.canvas
    wide, high, deep = rng.uniform(0.6, 1.8), rng.uniform(0.4, 0.85), rng.uniform(0.4, 0.8)
    colour, texture = canvas.colours(1, vivid=0.03)[0], _pick(rng, FRONTS)
    for leg_z in (z + deep - 0.05, z):
        for leg_x in (x, x + wide - 0.05):
            view.box([leg_x, floor - high, leg_z], [leg_x + 0.05, floor, leg_z + 0.05], colour * 0.7, texture)
    view.box([x - 0.03, floor - high - 0.04, z - 0.03], [x + wide + 0.03, floor - high, z + deep], colour, texture)
    clutter(view, x, x + wide, floor - high - 0.04, z + rng.uniform(0, 0.5 * deep), int(rng.integers(1, 9)))


def chair(view, x, floor, z):
    """Four legs, a seat and a back of bars or cloth."""
    rng, canvas = view.canvas.rng, view.canvas
    frame, seat = canvas.colours(2)
    texture, back = _pick(rng, CLOTH + FRONTS), rng.uniform(0.35, 0.6)
    for leg_z in (z + 0.4, z):
        for leg_x in (x, x + 0.4):
            view.box([leg_x, floor - 0.45, leg_z], [leg_x + 0.04, floor, leg_z + 0.04], frame, "smooth")
    view.box([x, floor - 0.5, z], [x + 0.44, floor - 0.44, z + 0.44], seat, texture)
    depth = z + (0.4 if rng.random() < 0.5 else 0)
    if rng.random() < 0.5:
        view.quad([x, floor - 0.5 - back, depth], [0.44, 0, 0], [0, back, 0], seat, texture, 0.2)
        return
    for bar in np.linspace(0, 0.4, int(rng.integers(3, 7))):
        view.quad([x + bar, floor - 0.5 - back, depth], [0.035, 0, 0], [0, back, 0], frame, "wood", 0.2)
    view.quad([x, floor - 0.5 - back, depth - 0.01], [0.44, 0, 0], [0, 0.06, 0], frame, "wood", 0.2)


def sofa(view, x, floor, z):
    """A sofa, an armchair or a bed: soft boxes with cushions."""
    rng, canvas = view.canvas.rng, view.canvas
    wide, colour, texture = rng.uniform(0.8, 2.2), canvas.colours(1, vivid=0.04)[0], _pick(rng, CLOTH)
    view.box([x, floor - 0.9, z + 0.5], [x + wide, floor, z + 0.75], colour * 0.9, texture, contrast=0.3, shade="folds",
             shade_by=0.4)
    view.box([x, floor - 0.45, z], [x + wide, floor, z + 0.6], colour, texture, contrast=0.3, shade="folds",
             shade_by=0.5)
    for side in (x - 0.15, x + wide):
        view.box([side, floor - 0.65, z], [side + 0.18, floor, z + 0.7], colour * 0.95, texture, contrast=0.3,
                 shade="folds", shade_by=0.4)
    for place in rng.uniform(0, max(wide - 0.4, 0.1), int(rng.integers(0, 4))):
        size, tilt = rng.uniform(0.3, 0.45), rng.normal(0, 0.1)
        view.quad([x + place, floor - 0.45 - size, z + 0.45], [size, tilt, 0], [-tilt, size, 0], canvas.colours(3),
                  _pick(rng, ("motif", "stripes", "folds", "shapes")), 0.4, shade="folds", shade_by=0.5)


def shelf(view, x, floor, z):
    """Boards with rows of upright things between them."""
    rng, canvas = view.canvas.rng, view.canvas
    wide, rows, step = rng.uniform(0.5, 1.8), int(rng.integers(2, 6)), rng.uniform(0.25, 0.45)
    board, high = canvas.colours(1)[0], rows * step
    low = floor - rng.choice([0.0, 0.9])
    view.quad([x, low - high, z + 0.28], [wide, 0, 0], [0, high, 0], board * rng.uniform(0.25, 0.8), "wood", 0.15)
    for number in range(rows):
        bottom = low - number * step
        goods(view, np.array([x + 0.02, bottom, z + 0.05]), np.array([1.0, 0, 0]), wide - 0.04, step * 0.9)
        view.box([x, bottom, z], [x + wide, bottom + 0.025, z + 0.25], board, "wood")
    for side in (x - 0.02, x + wide):
        view.box([side, low - high, z], [side + 0.025, low, z + 0.28], board, "wood")


def goods(view, corner, along, length, room):
    """Books, boxes, jars or bottles side by side, standing on a board at a corner's height."""
    canvas, rng = view.canvas, view.canvas.rng
    if not view.may_see(corner + along * length / 2, length / 2 + room):
        return
    place, tall, same = 0.0, room * rng.uniform(0.5, 0.95), rng.random() < 0.4
    width, texture = rng.uniform(0.03, 0.15), _pick(rng, ("page", "page", "natural", "stripes", "shapes", "motif"))
    jars = rng.random() < 0.4
    colours = canvas.colours(24)
    for number, draw in enumerate(rng.random((24, 3)).tolist()):
        if place > length - 0.03:
            break
        wide = width * (1 if same else 0.4 + 1.2 * draw[0])
        high = tall * (1 if same else 0.6 + 0.4 * draw[1])
        if draw[2] < 0.85:
            label = view.quad(corner + along * place - [0, high, 0], along * wide, [0, high, 0],
                              colours[0 if same else number], texture, 0.35, 1200.0)
            if jars and label:
                low, top = (view.pixel(corner + along * (place + wide / 2) - [0, h, 0]) for h in (0, high))
                if low is None or top is None:
                    continue
                canvas.rounded(label, low, top, wide / 2 * math.hypot(*(top - low)) / high, 0.75, 90)
        place += wide * (1.03 if draw[2] < 0.85 else 1.6)


def clutter(view, left, right, height, z, count):
    """Boxes, paper and round things on top of something."""
    canvas, rng = view.canvas, view.canvas.rng
    for draw in rng.random((count, 5)).tolist():
        wide, high = 0.04 + 0.3 * draw[0] ** 2, 0.03 + 0.35 * draw[1] ** 2
        x, colour = left + draw[2] * max(right - left - wide, 0.02), canvas.colours(1)[0]
        if draw[3] < 0.5:
            view.box([x, height - high, z], [x + wide, height, z + 0.6 * wide], colour,
                     _pick(rng, ("page", "natural", "keys", "motif", "shapes")), contrast=0.5, per_metre=900.0)
        elif draw[3] < 0.65:  # a screen
            view.box([x, height - 0.35, z], [x + 0.5, height - 0.02, z + 0.04], [25, 25, 27], "smooth")
            shown = view.quad([x + 0.02, height - 0.33, z - 0.005], [0.46, 0, 0], [0, 0.29, 0], canvas.colours(3),
                              _pick(rng, ("page", "shapes", "natural", "keys")), 0.5, 800.0)
            canvas.materials[shown, LIT] = 0
        else:  # a cup, a jar, a bottle
            low, top = view.pixel([x, height, z]), view.pixel([x, height - high, z])
            if low is None or top is None:
                continue
            label, radius = canvas.material(colour, _pick(rng, ("smooth", "page", "motif")), 0.2), 0.2 + 0.3 * draw[4]
            radius *= math.hypot(*(top - low))
            canvas.rounded(label, low, top, radius, 0.7, 90 * (draw[4] < 0.6))
            across = np.array([top[1] - low[1], low[0] - top[0]]) / max(math.hypot(*(top - low)), 1e-6) * radius
            canvas.polygon([low - across, low + across, top + across, top - across], label)
            if draw[4] < 0.2:
                canvas.capsule(top, top + 0.4 * (top - low), radius * 0.35, label)


def plant(view, x, floor, z):
    """Leaves that hang out of a pot, or stand in it."""
    canvas, rng = view.canvas, view.canvas.rng
    foot = view.pixel([x, floor - 0.3, z])
    if foot is None:
        return
    view.box([x - 0.12, floor - 0.3, z - 0.1], [x + 0.12, floor, z + 0.1], canvas.colours(1)[0], "natural")
    metre = view.focal / max(z, 0.3)
    green = 255 * rng.uniform(0.15, 0.5) * np.array([0.65, 1.0, 0.4])
    leaf = canvas.material(green, "veined", 0.3, shade="folds", shade_by=0.4)
    shades = np.append(canvas.copies(leaf, 5, 0.35), leaf)
    long, wide = rng.uniform(0.25, 0.7) * metre, rng.uniform(0.04, 0.2)
    for number, angle in enumerate(rng.normal(-math.pi / 2, 0.8, int(rng.integers(8, 22)))):
        t = np.linspace(0, 1, 6)[:, None]
        droop = np.array([math.cos(angle), math.sin(angle)]) * t + np.array([0, 0.7]) * t**2 * rng.uniform(0, 1.2)
        side = np.array([-math.sin(angle), math.cos(angle)]) * wide * np.sin(math.pi * t**0.8)
        canvas.polygon(foot + long * rng.uniform(0.5, 1) * np.concatenate([droop - side, (droop + side)[::-1]]),
                       int(shades[number % len(shades)]))


def lamp(view, x, floor, z):
    """A pole with a bright shade."""
    canvas, rng = view.canvas, view.canvas.rng
    high, shade = rng.uniform(0.5, 1.7), rng.uniform(0.1, 0.25)
    view.quad([x - 0.01, floor - high, z], [0.025, 0, 0], [0, high, 0], canvas.colours(1)[0], "smooth")
    bright = view.quad([x - shade, floor - high - 0.25, z], [2 * shade, 0, 0], [0, 0.3, 0],
                       rng.uniform(170, 265) * np.array([1.0, 0.93, rng.uniform(0.6, 0.95)]), "weave", 0.1)
    canvas.materials[bright, LIT] = 0


PIECES = (crate, cupboard, cupboard, cupboard, table, table, chair, chair, sofa, shelf, shelf, plant, lamp)


def outlet(view, corner, u):
    """A socket or a switch on a wall."""
    v, white = np.array([0, 0.08, 0]), view.canvas.colours(1, view.canvas.rng.choice([0.9, 0.9, 0.2]))[0]
    view.quad(corner, u * 0.08, v, white, "smooth", 0.05)
    view.quad(corner + 0.025 * u + [0, 0.025, 0], u * 0.03, v * 0.4, white * 0.5, "smooth", 0.05)
