"""Flat scenes behind a hand, each `f(canvas) -> None`; scenes with depth are in `places`, people in `people`."""

import math

import numpy as np

from cpm_hand.rendering.canvas import Canvas
from cpm_hand.rendering.paint import LIT, SHADE_BY


def plain(canvas: Canvas) -> None:
    """A wall or a studio ground, perhaps with a corner, a skirting board or a cable."""
    rng = canvas.rng
    side, width, height = canvas.side, canvas.width, canvas.height
    studio = rng.random() < 0.12
    clean = rng.random() < 0.5
    light = rng.uniform(0.4, 1.0) if rng.random() < 0.75 else rng.uniform(0.04, 0.4)
    light = rng.uniform(0.7, 1.05) if clean else light
    colour = canvas.colours(1, light, vivid=0.03)[0]
    if studio:
        colour = 255 * light * (1 - rng.uniform(0.2, 1) * (1 - rng.dirichlet([1, 1, 1]) ** 0.35))
    texture = rng.choice(["smooth", "natural", "rough", "natural", "weave"])
    wall = canvas.material(colour, texture, rng.uniform(0, 0.01 if clean else 0.07), rng.uniform(0.3, 2),
                           shade_by=rng.uniform(0, 0.02 if clean else 0.1))
    canvas.gradient(wall, rng.random(2) * side, rng.random(2) * side, rng.uniform(0.7, 1), rng.uniform(0.8, 1.25))
    canvas.labels[:] = wall
    if studio or rng.random() < 0.4:
        return
    for _ in range(int(rng.integers(1, 4))):
        middle, angle = rng.random(2) * (width, height), rng.choice([0, math.pi / 2]) + 0.06 * rng.standard_normal()
        along = 3 * side * np.array([math.cos(angle), math.sin(angle)])
        across = np.array([-along[1], along[0]]) / 3
        shape = rng.random()
        if shape < 0.45:  # the next wall, the floor, or a table's edge
            second = canvas.material(colour * rng.uniform(0.5, 1.15), texture, 0.06, shade_by=0.2)
            canvas.gradient(second, middle, middle + across, rng.uniform(0.6, 1.0), 1.0)
            canvas.polygon([middle - along, middle + along, middle + along + 3 * across, middle - along + 3 * across],
                           second)
        elif shape < 0.75:  # a picture, a socket or a screen, in its frame
            size = side * np.exp(rng.uniform(-3.5, -0.5, 2))
            box = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2 @ np.stack([along, across * 3]) / (3 * side)
            inner = canvas.colours(3) if size.min() > 0.1 * side else colour * rng.uniform(0.6, 1.2)
            canvas.polygon(middle + box * (size + 0.02 * side),
                           canvas.material(canvas.colours(1, vivid=0.02)[0], "wood", 0.1))
            canvas.polygon(middle + box * size,
                           canvas.material(inner, rng.choice(["shapes", "page", "natural", "smooth"]), 0.1, side / 900))
        tone = np.minimum(colour * rng.uniform(0.5, 1.3), 255)
        if shape < 0.45 or shape > 0.75:
            thick = side * math.exp(rng.uniform(-5.5, -2.8))
            canvas.curve([middle - along, middle + along], thick, canvas.material(tone, "natural", 0.1))


def noise(canvas: Canvas) -> None:
    """Nothing but 1/f noise in the scene's colours."""
    rng = canvas.rng
    name = rng.choice(["natural", "rough", "smooth", "veined", "brushed"])
    canvas.labels[:] = canvas.material(canvas.colours(3)[rng.permutation(3)], name, scale=np.exp(rng.uniform(-0.7, 1)),
                                       shade="natural", shade_by=rng.uniform(0.1, 0.7))


ANYTHING = ("natural", "natural", "smooth", "rough", "brushed", "veined", "wood", "weave", "stripes", "folds", "bricks",
            "motif", "page", "shapes", "blades", "holes", "keys")


def some_materials(canvas: Canvas, count: int, names=ANYTHING) -> list[int]:
    """Labels of materials in the scene's colours, some flat, some strongly textured."""
    rng = canvas.rng
    colours, draws = canvas.colours(2 * count), rng.random((count, 4))
    made = []
    for number, draw in enumerate(draws):
        strong = draw[0] < 0.3
        colour = colours[number]
        if strong:
            colour = np.stack([colours[count + number], (colour + colours[count + number]) / 2, colour])
        made.append(canvas.material(colour, names[int(draw[1] * len(names))], 0.04 + 0.4 * draw[2] ** 2,
                                    scale=math.exp(2.2 * draw[3] - 1.5), shade_by=0.25 * draw[2]))
        if draw[3] < 0.4:
            canvas.gradient(made[-1], rng.random(2) * canvas.side, rng.random(2) * canvas.side, 0.6, 1.3)
    return made


def leaves(canvas: Canvas) -> None:
    """Dead leaves: textured shapes of every size, one over the other."""
    rng = canvas.rng
    first = some_materials(canvas, 32)[0]
    canvas.sheet("leaves", first, math.exp(rng.uniform(-0.9, 1.1)) * canvas.side / 368, rng.uniform(0, 6.3),
                 rng.uniform(0.5, 1))
    if rng.random() < 0.5:
        clutter(canvas)


def clutter(canvas: Canvas) -> None:
    """A few large shapes and bars over what is there."""
    rng = canvas.rng
    count = int(rng.integers(3, 14))
    for label in some_materials(canvas, count):
        centre = rng.uniform(-0.1, 1.1, 2) * (canvas.width, canvas.height)
        angle, kind = rng.uniform(0, math.pi), rng.random()
        a, b = canvas.side * np.minimum(0.04 * rng.pareto(1.2, 2) + 0.02, 0.5)
        ends = centre + np.outer([-1, 1], [2.5 * a * math.cos(angle), 2.5 * a * math.sin(angle)])
        if kind < 0.35:
            canvas.rounded(label, *ends, min(b, a) / 2, rng.uniform(0, 0.8), 80 * (rng.random() < 0.3))
            canvas.capsule(*ends, min(b, a) / 2, label)
        elif kind < 0.6:
            canvas.rounded(label, *ends, b, rng.uniform(0, 0.6))
            canvas.disc(centre, a, b, label, angle)
        else:
            edge = np.array([[-a, -b], [a, -b], [a, b], [-a, b]])
            c, s = math.cos(angle), math.sin(angle)
            canvas.polygon(edge @ np.array([[c, s], [-s, c]]) + centre, label)


def wallpaper(canvas: Canvas) -> None:
    """One repeated pattern over everything: paper, curtains, tiles, a carpet, a plaid."""
    rng = canvas.rng
    colours = canvas.colours(3) if rng.random() < 0.5 else canvas.colours(1) * rng.uniform(0.4, 1.4, (3, 1))
    name = rng.choice(["motif", "motif", "motif", "stripes", "bricks", "bricks", "weave", "wood", "holes"])
    shade = rng.choice(["smooth", "folds", "natural"])
    canvas.labels[:] = canvas.material(colours, name, scale=canvas.side / 368 * math.exp(rng.uniform(-1.2, 1.0)),
                                       angle=0.15 * rng.standard_normal() + rng.choice([0, 0, 0, 0.785, 1.571]),
                                       shade=shade, shade_by=rng.uniform(0.1, 0.6))


def foliage(canvas: Canvas) -> None:
    """Leaves over leaves, darker inside; gaps that show sky or shade."""
    rng = canvas.rng
    count = 24
    hue = rng.choice([1.7, 1.7, 1.2, 0.6, 2.2]) + 0.15 * rng.standard_normal()
    wheel = np.cos(hue - np.array([0, 2.0944, 4.1888]))
    ramp = np.linspace(rng.uniform(0.02, 0.15), rng.uniform(0.45, 0.95), count)
    first = canvas.used + 1
    for light in ramp:
        colour = 255 * light * (1 + rng.uniform(0.2, 0.55) * wheel + 0.06 * rng.standard_normal(3))
        canvas.material(np.clip(colour, 0, 255), "veined", rng.uniform(0.1, 0.4), rng.uniform(0.3, 1.5), shade="rough",
                        shade_by=0.3)
    if rng.random() < 0.5:  # against the sky, which shows between the leaves
        gaps = slice(first, first + int(rng.integers(4, 18)))
        canvas.materials[gaps, :9] = np.tile(rng.uniform(215, 275) * np.array([rng.uniform(0.85, 1), 0.98, 1.0]), 3)
        canvas.materials[gaps, [[SHADE_BY], [LIT]]] = 0
    canvas.sheet("foliage", first, math.exp(rng.uniform(-1.2, 1.1)) * canvas.side / 368, rng.uniform(0, 6.3),
                 rng.uniform(0.4, 1))
    bark = canvas.material(rng.uniform(20, 90) * np.array([1.1, 1.0, 0.9]), "veined", 0.4)
    for _ in range(int(rng.choice([0, 2, 4]))):
        foot, angle = rng.uniform(-0.1, 1.1, 2) * (canvas.width, canvas.height), rng.uniform(0, 6.3)
        branch(canvas, foot, angle, canvas.side * rng.uniform(0.1, 0.35), canvas.side * rng.uniform(0.005, 0.03), bark)


def branch(canvas: Canvas, foot, angle: float, length: float, thick: float, label: int) -> None:
    """A limb of a tree that forks until it is thin; foot (x, y), length and thickness in px."""
    rng = canvas.rng
    tip = foot + length * np.array([math.cos(angle), math.sin(angle)])
    canvas.curve([foot, tip], max(thick, 0.5), label)
    if thick > 0.8 and length > 0.03 * canvas.side:
        for turn in rng.normal(0, 0.6, 2 if thick > 2 else 1):
            branch(canvas, tip, angle + turn, length * rng.uniform(0.55, 0.95), thick * rng.uniform(0.5, 0.75), label)


def litter(canvas: Canvas) -> None:
    """Ground from above: gravel, dry leaves, grass, carpet."""
    rng = canvas.rng
    base = canvas.colours(1, rng.uniform(0.2, 0.7))[0]
    if rng.random() < 0.3:
        canvas.labels[:] = canvas.material(base * rng.uniform(0.6, 1.5, (3, 1)), "blades", scale=rng.uniform(0.4, 1.6),
                                           shade="natural", shade_by=0.4)
        return
    first = canvas.used + 1
    for tone in np.clip(rng.normal(1, 0.35, 30), 0.15, 1.9):
        canvas.material(np.clip(base * tone * rng.normal(1, 0.07, 3), 0, 255), "veined", 0.3, rng.uniform(0.2, 1))
    canvas.sheet(str(rng.choice(["pebbles", "foliage"])), first,
                 math.exp(rng.uniform(-0.6, 1.0)) * canvas.side / 368, rng.uniform(0, 6.3), rng.uniform(0.4, 1))


def shelf(canvas: Canvas) -> None:
    """Rows of repeated things: cans, bottles, books, boxes, on boards, seen straight or at an angle."""
    rng = canvas.rng
    board = canvas.material(canvas.colours(1)[0], "wood", 0.2, 0.7, angle=0)
    dark = canvas.material(canvas.colours(1, rng.uniform(0.03, 0.3))[0], "natural", 0.2)
    canvas.labels[:] = dark
    row_height = canvas.side * math.exp(rng.uniform(-1.8, -0.3))
    turn, skew = 0.12 * rng.standard_normal(), 0.12 * rng.standard_normal()
    frame = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn) + skew, math.cos(turn)]])
    corner = np.array([canvas.width, canvas.height]) / 2
    reach = 0.75 * canvas.side
    rows = np.arange(-reach, reach, row_height) + rng.uniform(0, row_height)
    for floor in rows:
        _shelf_row(canvas, floor, row_height, reach, lambda points: np.asarray(points) @ frame + corner)
        canvas.polygon((np.array([[-2, 0], [2, 0], [2, 0.06], [-2, 0.06]]) * [reach, row_height] + [0, floor]) @ frame
                       + corner, board)


def _shelf_row(canvas, floor, room, reach, place):
    rng = canvas.rng
    kind, width = rng.random(), room * rng.uniform(0.12, 0.6)
    tall, x = room * rng.uniform(0.5, 0.9), -reach
    names = ("natural", "page", "page", "stripes", "motif", "smooth", "wood", "shapes")
    base = some_materials(canvas, 4 if kind < 0.5 else 7, names)
    base = base[:1] if kind < 0.35 else base  # a row of one product
    shades = np.concatenate([base] + [canvas.copies(label, 12 // len(base), 0.1) for label in base])
    for draw in rng.random((45, 4)).tolist():
        if x > reach:
            break
        own = width * (1 if kind < 0.5 else 0.4 + draw[0])
        high = tall * (1 if kind < 0.5 else 0.75 + 0.35 * draw[1])
        lean = 0.25 * high * (draw[2] - 0.5) * (kind > 0.5 and draw[3] < 0.2)
        points = place([[x, floor], [x + own, floor], [x + own + lean, floor - high], [x + lean, floor - high]])
        label = int(shades[int(draw[2] * len(shades))])
        if kind < 0.35 or draw[3] < 0.15:
            label = int(canvas.copies(label, 1, 0.05)[0])
            low, top = (points[0] + points[1]) / 2, (points[2] + points[3]) / 2
            canvas.rounded(label, low, top, own / 2, 0.75, 110 * (draw[1] < 0.5))
            if kind < 0.18:  # a bottle's neck
                canvas.capsule(top, top + 0.25 * (top - low), own / 5, label)
        canvas.polygon(points, label)
        x += own * (1.02 if draw[3] < 0.85 else 1.5)


def text(canvas: Canvas) -> None:
    """Pages, posters, screens and keyboards, lying over each other."""
    rng = canvas.rng
    canvas.labels[:] = some_materials(canvas, 1)[0]
    for _ in range(int(rng.integers(1, 6))):
        paper = canvas.colours(2, np.array([rng.uniform(0.02, 0.5), rng.uniform(0.5, 1)]))
        if rng.random() < 0.25:
            paper = paper[::-1]
        angle, scale = 0.25 * rng.standard_normal(), canvas.side / 368 * math.exp(rng.uniform(-1.0, 1.2))
        name = "page" if rng.random() < 0.7 else "keys"
        label = canvas.material(np.stack([paper[0], paper.mean(0), paper[1]]), name, scale=scale, angle=-angle)
        half = canvas.side * rng.uniform(0.2, 0.9, 2)
        c, s = math.cos(angle), math.sin(angle)
        box = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half @ np.array([[c, s], [-s, c]])
        canvas.polygon(box + rng.random(2) * (canvas.width, canvas.height), label)


def machine(canvas: Canvas) -> None:
    """Metal beams with grooves, pipes, plates with holes, bolts and cables over whatever is behind."""
    rng = canvas.rng
    rng.choice([plain, litter, leaves, noise, plain], p=[0.35, 0.25, 0.15, 0.1, 0.15])(canvas)
    if rng.random() < 0.4:
        for label in some_materials(canvas, 2, ("holes", "keys", "brushed")):
            box = rng.random((2, 2)) * (canvas.width, canvas.height)
            canvas.polygon([box[0], [box[1][0], box[0][1]], box[1], [box[0][0], box[1][1]]], label)
    beams(canvas)
    cables(canvas)


def beams(canvas: Canvas) -> None:
    """Long bars across the picture: bright metal profiles, pipes, table legs."""
    rng = canvas.rng
    first = rng.uniform(0, math.pi)
    thick = canvas.side * math.exp(rng.uniform(-3.6, -1.9))
    metal = canvas.colours(1, rng.uniform(0.45, 0.95))[0] * 0.5 + 128 * rng.uniform(0.5, 0.95)
    for _ in range(int(rng.integers(1, 6))):
        angle = first + rng.choice([0, math.pi / 2, rng.uniform(0, math.pi)]) + 0.05 * rng.standard_normal()
        along = np.array([math.cos(angle), math.sin(angle)])
        across = np.array([-along[1], along[0]]) * thick
        middle = rng.random(2) * (canvas.width, canvas.height)
        start, end = middle - along * canvas.side * rng.choice([0.4, 2]), middle + along * canvas.side * 2
        if rng.random() < 0.4:
            pipe = canvas.material(np.clip(metal, 0, 255), "brushed", 0.1, angle=angle)
            canvas.rounded(pipe, start, end, thick / 2, 0.8, 90)
            canvas.capsule(start, end, thick / 2, pipe)
            continue
        edges = np.sort(rng.uniform(-0.5, 0.5, int(rng.integers(2, 6))))
        edges = np.concatenate([[-0.5], edges, [0.5]])
        taper = rng.uniform(0.6, 1)
        for low, high in zip(edges, edges[1:]):
            strip = canvas.material(np.clip(metal * rng.uniform(0.35, 1.15), 0, 255), "brushed", 0.08, angle=angle)
            canvas.polygon([start + across * low, end + across * low * taper, end + across * high * taper,
                            start + across * high], strip)


def cables(canvas: Canvas) -> None:
    """Thin bent lines."""
    rng = canvas.rng
    for colour in canvas.colours(int(rng.integers(0, 6)), rng.uniform(0.05, 0.6)):
        label = canvas.material(colour, "smooth", 0.2)
        t = np.linspace(0, 1, 20)[:, None]
        corners = rng.uniform(-0.2, 1.2, (4, 2)) * (canvas.width, canvas.height)
        weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
        canvas.curve(weights @ corners, canvas.side * rng.uniform(0.004, 0.018), label)
