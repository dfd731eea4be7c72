"""Scenes with depth: a furnished room, a table from above, outdoors. Each draws on a whole Canvas.

Places are built in metres, x right, y down, z forward, and seen by a pinhole at the origin that is turned and zoomed.
"""

import math

import numpy as np

from cpm_hand.rendering import furniture
from cpm_hand.rendering.canvas import Canvas
from cpm_hand.rendering.paint import FOOT, LIT, NEAR, lay
from cpm_hand.rendering.scenes import cables, some_materials


class View:
    """A pinhole camera over a canvas.

    Args:
        canvas: what is drawn on.
        pitch: radians, positive looks down.
        zoom: focal length over the picture's side.
    """

    def __init__(self, canvas: Canvas, pitch: float, zoom: float):
        rng = canvas.rng
        yaw, roll = rng.uniform(-0.7, 0.7), 0.08 * rng.standard_normal()
        cy, sy, cp, sp, cr, sr = (f(v) for v in (yaw, pitch, roll) for f in (math.cos, math.sin))
        turn = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        turn = turn @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        f = zoom * canvas.side
        lens = np.array([[f, 0, canvas.width / 2], [0, f, canvas.height / 2], [0, 0, 1]])
        self.canvas, self.matrix, self.focal = canvas, lens @ turn, f
        self.steep = abs(sp)  # how round a circle on the floor is seen

    def quad(self, corner, u, v, colour, texture="natural", contrast=0.15, per_metre=250.0, **more) -> int:
        """Draw the parallelogram corner, corner + u, corner + v with a texture that lies in it; returns its label,
        0 where nothing of it can be seen.

        Args:
            corner: x, y, z in m.
            u: edge, m.
            v: the other edge, m.
            colour: as in `Canvas.material`.
            texture: likewise.
            contrast: likewise.
            per_metre: texels per metre.
            **more: likewise.
        """
        corner, u, v = np.asarray(corner, float), np.asarray(u, float), np.asarray(v, float)
        shape, matrix, depth = lay(self.matrix, corner, u, v, float(per_metre), self.canvas.width, self.canvas.height)
        if depth == 0:
            return 0
        label = self.canvas.material(colour, texture, contrast, matrix=matrix, **more)
        self.canvas.materials[label, FOOT] = 1.1 * per_metre * depth / self.focal
        self.canvas.polygon(shape, label)
        return label

    def pixel(self, point) -> np.ndarray | None:
        """Where a point, x, y, z in m, is seen: float [2], px; None if it is too near or behind."""
        seen = self.matrix @ point
        return seen[:2] / seen[2] if seen[2] > NEAR else None

    def may_see(self, middle, reach: float) -> bool:
        """Whether something around a point, x, y, z in m, may be in the picture; reach in m."""
        seen = self.matrix @ middle
        if seen[2] < -reach:
            return False
        around, depth = reach * self.focal, max(seen[2], NEAR)
        return bool(-around < seen[0] < self.canvas.width * depth + around
                    and -around < seen[1] < self.canvas.height * depth + around)

    def box(self, low, high, colour, texture="natural", **more) -> None:
        """Draw the sides of an upright box that face the camera."""
        low, high = np.asarray(low, float), np.asarray(high, float)
        x, y, z = np.diag(high - low)
        near_x = low if low[0] > 0 else low + x if high[0] < 0 else None
        colour = np.asarray(colour)
        if near_x is not None:
            self.quad(near_x, z, y, colour * 0.75, texture, **more)
        if low[1] > 0:
            self.quad(low, x, z, np.minimum(colour * 1.15, 255), texture, **more)
        self.quad(low, x, y, colour, texture, **more)


def room(canvas: Canvas) -> None:
    """Walls, floor and ceiling of a room with windows, doors, pictures, shelves, furniture and lamps."""
    rng = canvas.rng
    view = View(canvas, rng.normal(0.05, 0.25), math.exp(rng.uniform(-0.7, 0.7)))
    left, right, back = -rng.uniform(0.8, 3), rng.uniform(0.8, 3), rng.uniform(1.5, 6)
    floor, top = rng.uniform(0.9, 1.7), -rng.uniform(0.8, 1.6)
    wide, high, deep = [right - left, 0, 0], [0, floor - top, 0], [0, 0, back + 1]
    paper = str(rng.choice(["natural", "rough", "smooth", "motif", "bricks", "stripes", "wood"],
                           p=[0.3, 0.2, 0.15, 0.12, 0.1, 0.06, 0.07]))
    wall = canvas.colours(4, np.clip(rng.normal(0.65, 0.2, 4), 0.1, 1), vivid=0.02)
    wall[:3] = wall[0]
    canvas.labels[:] = canvas.material(wall[0], "smooth", 0.05)
    view.quad([left, top, -1], wide, deep, np.minimum(wall[3] * 0.5 + 120, 250), "smooth", 0.03)
    view.quad([left, floor, -1], wide, deep, canvas.colours(1, vivid=0.02)[0],
              str(rng.choice(["wood", "bricks", "blades", "rough"])), 0.25, rng.choice([120.0, 250.0]))
    contrast = 0.25 * rng.random() ** 2
    sides = ([left, top, -1], deep, 0.8), ([right, top, -1], deep, 0.95), ([left, top, back], wide, 1)
    for corner, edge, gain in sides:
        label = view.quad(corner, edge, high, wall[0] * gain, paper, contrast, rng.choice([150.0, 300.0]))
        canvas.gradient(label, [0, 0], rng.random(2) * canvas.side, rng.uniform(0.7, 1.1), rng.uniform(0.8, 1.2))
    for _ in range(int(rng.integers(4, 14))):
        _on_a_wall(view, (left, right, top, floor, back))
    trim = np.minimum(wall[0] * rng.choice([0.5, 1.3]), 250)
    view.quad([left, floor - 0.09, back - 0.01], wide, [0, 0.09, 0], trim, "wood", 0.1)
    for side in (left + 0.01, right - 0.01):
        view.quad([side, floor - 0.09, 0], [0, 0, back], [0, 0.09, 0], trim, "wood", 0.1)
    for z in np.sort(rng.uniform(min(1.3, 0.7 * back), back, int(rng.integers(2, 10))))[::-1]:
        piece, x = furniture.PIECES[int(rng.integers(len(furniture.PIECES)))], rng.uniform(left - 0.2, right - 0.3)
        if view.may_see([x + 0.5, floor - 0.6, z], 1.3):
            piece(view, x, floor, z)


def _on_a_wall(view, walls):
    """A window, door, picture, screen, shelf or curtain on the back or a side wall, or a lamp at the ceiling."""
    left, right, top, floor, back = walls
    canvas, rng = view.canvas, view.canvas.rng
    kind, side = rng.integers(0, 8), rng.random()
    size = np.array([rng.uniform(0.3, 1.4), rng.uniform(0.3, 1.2)])
    if side < 0.6:
        corner, u = np.array([rng.uniform(left, right - 0.2), 0, back - 0.02]), np.array([1.0, 0, 0])
    else:
        x = left + 0.02 if side < 0.8 else right - 0.02
        corner, u = np.array([x, 0, rng.uniform(0.3, back - 0.4)]), np.array([0, 0, 1.0])
    corner[1] = rng.uniform(top + 0.1, 0.3)
    v = np.array([0, 1.0, 0])
    if kind == 6:
        furniture.outlet(view, corner, u)
        return
    frame = canvas.colours(1, rng.uniform(0.1, 1))[0]
    if kind == 7:  # a radiator, or a curtain down to the floor
        soft = rng.random() < 0.6
        corner[1], size = (top + 0.15, np.array([size[0], floor - top - 0.2])) if soft else (floor - 0.75, size * 0.6)
        view.quad(corner, u * size[0], v * size[1], canvas.colours(1)[0], "folds" if soft else "stripes", 0.3,
                  rng.uniform(150, 400), shade="folds", shade_by=0.6 * soft)
        return
    if kind == 1:  # a door or a cupboard
        corner[1], size = floor - 2.0, np.array([0.8, 2.0])
    view.quad(corner - 0.04 * (u + v), u * (size[0] + 0.08), v * (size[1] + 0.08), frame, "natural", 0.1)
    if kind == 0:  # a window: bright, unlit, with bars
        glass = view.quad(corner, u * size[0], v * size[1], rng.uniform(170, 275) * np.array([0.95, 1, 1.03]), "shapes",
                          rng.uniform(0, 0.4))
        canvas.materials[glass, LIT] = 0
        for place in rng.uniform(0.2, 0.8, 2):
            view.quad(corner + u * size[0] * place, u * 0.05, v * size[1], frame, "smooth", 0.05)
    elif kind == 5:  # a lamp
        lamp = view.quad([corner[0], top + 0.01, max(corner[2] - 1, 0.5)], [0.5, 0, 0], [0, 0, 0.3], [275, 270, 250])
        canvas.materials[lamp, LIT] = 0
    else:
        name = ("", "wood", "shapes", "page", "folds")[kind]
        colour = canvas.colours(3) if kind in (2, 3) else canvas.colours(1)[0]
        view.quad(corner, u * size[0], v * size[1], colour, name, 0.5, rng.uniform(200, 600), shade_by=0.3)
        if kind == 4 or size[0] > 1:  # books, jars or tools in a row before it
            furniture.goods(view, corner + v * size[1], u, size[0], rng.uniform(0.1, 0.4))


def desk(canvas: Canvas) -> None:
    """A table from above or at a slant, with paper, keys, cups, boxes, pens, cables."""
    rng = canvas.rng
    view = View(canvas, rng.uniform(0.35, 1.5), math.exp(rng.uniform(-0.2, 1.1)))
    canvas.labels[:] = some_materials(canvas, 1, ("shapes", "natural", "wood", "bricks", "smooth"))[0]
    floor, reach, to_space = 0.5, 1.2, np.linalg.inv(view.matrix)
    table = str(rng.choice(["wood", "wood", "natural", "smooth", "rough", "weave", "motif"]))
    view.quad([-reach, floor, -reach], [2 * reach, 0, 0], [0, 0, 2 * reach], canvas.colours(1, vivid=0.02)[0], table,
              rng.uniform(0.02, 0.4), 500.0, shade_by=0.1)
    for _ in range(int(rng.integers(5, 28))):
        ray = to_space @ [*(rng.uniform(-0.1, 1.1, 2) * (canvas.width, canvas.height)), 1.0]
        if ray[1] < 0.1 * abs(ray[0]) + 0.1 * abs(ray[2]):
            continue  # above the table
        place = ray * (floor / ray[1])
        angle, kind = rng.uniform(0, 6.3), rng.random()
        u, v = (np.array([math.cos(angle + q), 0, math.sin(angle + q)]) for q in (0, math.pi / 2))
        if kind < 0.5:
            ink = canvas.colours(2, np.array([rng.uniform(0.02, 0.4), rng.uniform(0.6, 1)]))
            view.quad(place, u * rng.uniform(0.08, 0.4), v * rng.uniform(0.08, 0.3),
                      np.stack([ink[0], ink.mean(0), ink[1]]), str(rng.choice(["page", "keys", "shapes"])), 0.1, 2500.0)
        elif kind < 0.8:
            size = rng.uniform(0.02, 0.2, 3)
            view.box(place - [0, size[1], 0], place + [size[0], 0, size[2]], canvas.colours(1)[0],
                     str(rng.choice(["page", "natural", "motif", "smooth"])), per_metre=1500.0)
        else:
            ends = np.stack([place, place + u * rng.uniform(0.1, 0.3)]) @ view.matrix.T
            if kind > 0.92 and (ends[:, 2] > NEAR).all():  # a cup or a plate
                middle, radius = ends[0, :2] / ends[0, 2], rng.uniform(0.03, 0.12) * view.focal / ends[0, 2]
                for share, tone in zip((1.0, 0.88, 0.6), canvas.colours(3)):
                    rim = canvas.material(tone, "smooth", 0.15)
                    canvas.disc(middle, radius * share, radius * share * view.steep, rim)
            elif (ends[:, 2] > NEAR).all():
                pen, ends = canvas.material(canvas.colours(1)[0], "smooth", 0.05), ends[:, :2] / ends[:, 2:]
                radius = 0.006 * view.focal / 0.6
                canvas.rounded(pen, *ends, radius, 0.6, 80)
                canvas.capsule(*ends, radius, pen)
    if rng.random() < 0.3:
        cables(canvas)


def outdoors(canvas: Canvas) -> None:
    """Sky, ground, houses with windows, trees and poles."""
    rng = canvas.rng
    view = View(canvas, rng.normal(0.0, 0.17), math.exp(rng.uniform(-0.5, 1.2)))
    bright = rng.uniform(0.6, 1.05)
    sky = np.array([[0.55, 0.7, 0.95], [0.8, 0.88, 0.97], [1, 1, 1]]) * 255 * bright
    canvas.labels[:] = canvas.material(sky if rng.random() < 0.6 else sky[1:].mean(0), "smooth", 0.05, 3)
    canvas.materials[canvas.used, LIT] = 0
    green = 255 * rng.uniform(0.2, 0.6) * np.array([[0.5, 0.6, 0.25], [0.85, 1.0, 0.5], [1.2, 1.3, 0.8]])
    earth = green if rng.random() < 0.5 else canvas.colours(1, vivid=0.02)[0] * np.array([[0.6], [1], [1.3]])
    view.quad([-60, 1.6, -2], [120, 0, 0], [0, 0, 90], earth, str(rng.choice(["blades", "rough", "shapes", "bricks"])),
              per_metre=120.0, shade="natural", shade_by=0.4)
    for z in np.sort(rng.uniform(4, 30, int(rng.integers(4, 13))))[::-1]:
        x = rng.uniform(-1.3, 0.9) * z
        if rng.random() < 0.5:
            size = rng.uniform(3, 10, 2)
            tone = canvas.colours(1, rng.uniform(0.3, 0.95))[0]
            facade = np.stack([tone * 1.1, tone, tone * rng.uniform(0.2, 0.6)])[::rng.choice([1, -1])]
            view.box([x, 1.6 - size[1], z], [x + size[0], 1.6, z + 4], np.clip(facade, 0, 255),
                     str(rng.choice(["facade", "facade", "facade", "bricks"])), per_metre=rng.uniform(18, 60))
        else:
            _tree(view, x, z, green * rng.uniform(0.5, 1.1))
    if rng.random() < 0.3:
        cables(canvas)


def _tree(view, x, z, green):
    canvas, rng = view.canvas, view.canvas.rng
    foot, crown = (np.array(p) @ view.matrix.T for p in ([x, 1.6, z], [x, 1.6 - rng.uniform(1.5, 5), z]))
    if min(foot[2], crown[2]) < NEAR:
        return
    foot, crown = foot[:2] / foot[2], crown[:2] / crown[2]
    trunk = canvas.material([75, 60, 45], "veined", 0.4)
    canvas.capsule(foot, crown, 0.15 * view.focal / z, trunk)
    first = canvas.used + 1
    for shade in np.linspace(0.35, 1.2, 8):
        canvas.material(np.minimum(green * shade, 255), "veined", shade="natural", shade_by=0.4)
    turn = np.linspace(0, 2 * math.pi, 90, endpoint=False)
    radius = rng.uniform(0.9, 2.2) * view.focal / z * np.exp(0.1 * rng.standard_normal(90) + 0.3 * np.sin(
        3 * turn + rng.uniform(0, 6)) * rng.random())
    crown = crown + radius[:, None] * np.stack([np.cos(turn), rng.uniform(0.7, 1.2) * np.sin(turn)], 1)
    canvas.sheet("foliage", min(first, canvas.used), math.exp(rng.uniform(-1.6, -0.2)) * canvas.side / 368,
                 rng.uniform(0, 6.3), within=crown)
