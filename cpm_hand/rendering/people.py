"""People and skin behind a hand: bodies in clothes, heads, forearms, and bright or skin-coloured sausages.

What could be mistaken for a hand or finger but is none: a net learns from these not to call every stripe a finger.
"""

import math

import numpy as np

from cpm_hand.rendering.canvas import Canvas
from cpm_hand.rendering.heads import REACH
from cpm_hand.rendering.paint import SHADE_MAP, TEXTURE
from cpm_hand.rendering.textures import SIDE

TONES = np.array([[41, 36, 32], [58, 49, 42], [96, 65, 52], [130, 92, 67], [160, 126, 86], [215, 189, 150],
                  [234, 218, 186], [247, 234, 208], [243, 231, 219], [246, 237, 228]], float)  # sRGB


def skin_colour(rng) -> np.ndarray:
    """A skin tone from very dark to very light under a neutral light: float [3], sRGB.

    A curve through the ten tones of the Monk scale (Ellis Monk, Google 2022, skintone.google), with some spread.
    """
    place = rng.uniform(1, 8.5)
    tone = np.array([np.interp(place, np.arange(10), channel) for channel in TONES.T])
    flush = np.array([1.0, rng.uniform(0.8, 0.95), rng.uniform(0.72, 0.95)])  # photographs are redder
    return np.clip(tone * flush * rng.uniform(0.75, 1.05), 8, 255)


def _skin(canvas, tone, contrast=0.15):
    return canvas.material(tone, "natural", contrast, canvas.rng.uniform(0.4, 2), shade="smooth", shade_by=0.15)


def _smooth(points) -> np.ndarray:
    """A closed polygon with its corners cut twice (Chaikin)."""
    points = np.asarray(points, float)
    for _ in range(2):
        after = np.roll(points, -1, 0)
        points = np.stack([0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], 1).reshape(-1, 2)
    return points


def person(canvas: Canvas) -> None:
    """Head, neck and torso over what is there."""
    rng = canvas.rng
    unit = canvas.side * math.exp(rng.uniform(-2.8, -0.7))  # half the height of the head, px
    head = np.array([rng.uniform(-0.05, 1.05) * canvas.width, rng.uniform(-0.1, 0.9) * canvas.height])
    lean = 0.2 * rng.standard_normal()
    if rng.random() < 0.12:
        lean += rng.uniform(-math.pi, math.pi)
    c, s = math.cos(lean), math.sin(lean)
    frame = unit * np.array([[c, s], [-s, c]])

    def place(points):
        return np.asarray(points, float) @ frame + head

    tone = skin_colour(rng)
    hair_tone = np.array([[20, 16, 14], [40, 28, 22], [62, 42, 30], [120, 86, 52], [165, 160, 155]])[rng.integers(0, 5)]
    hair_tone = hair_tone * rng.uniform(0.5, 1.3)
    long_hair = rng.random() < 0.35
    if long_hair:
        strands = canvas.material(hair_tone, "blades", 0.5, unit / 250, lean, "folds", 0.4)
        down = rng.uniform(0.9, 2.2)
        canvas.polygon(place(_smooth([[-0.9, -0.6], [0, -1.1], [0.9, -0.6], [1.15, down], [0.6, down + 0.4],
                                      [-0.6, down + 0.3], [-1.15, down]])), strands)
    cloth = _torso(canvas, place, unit, lean, tone)
    if rng.random() < 0.07:  # a hood
        canvas.polygon(place(_smooth([[-1.2, 0], [-0.9, -1.1], [0, -1.45], [0.9, -1.1], [1.2, 0], [0.9, 1.5],
                                      [-0.9, 1.5]])), int(canvas.copies(cloth, 1, 0.2)[0]))
    _head(canvas, place, unit, lean, tone, hair_tone)
    if long_hair and rng.random() < 0.6:
        for side in (-1, 1):
            lock = int(canvas.copies(strands, 1, 0.15)[0])
            shape = np.array([[0.85, -0.5], [1.0, 0.6], [rng.uniform(0.5, 1), down + 0.2], [0.5, down], [0.7, 0.4],
                              [0.72, -0.3]])
            canvas.polygon(place(_smooth(shape * [side, 1])), lock)


def _head(canvas, place, unit, lean, tone, hair_tone):
    """One of the bank's heads: skin, lips, hair or a cap, glasses."""
    rng = canvas.rng
    number, flip = int(rng.integers(len(canvas.bank.heads))), rng.choice([-1, 1])
    head, c, s = canvas.bank.heads[number], math.cos(lean), math.sin(lean)
    scale = SIDE / 2 / REACH / unit
    matrix = np.array([[scale * flip * c, scale * flip * s, 0], [-scale * s, scale * c, 0], [0, 0, 1]])
    matrix[:2, 2] = SIDE / 2 - matrix[:2, :2] @ place([0, 0])

    def part(ramp, outlines):
        label = canvas.material(ramp, "head", matrix=matrix, shade_by=0.12)
        canvas.materials[label, TEXTURE] = canvas.bank.rows["head"][number]
        canvas.gradient(label, place([-0.8, 0]), place([0.8, 0.3]), *light)
        for outline in outlines:
            canvas.polygon(place(outline * [flip, 1]), label)
        return label

    light = rng.uniform(0.65, 1.2, 2)
    part(np.stack([tone * [0.14, 0.1, 0.1], tone, np.minimum(tone * 1.3 + 40, 262)]), head.skin)
    red = tone * [1.0, rng.uniform(0.6, 0.9), rng.uniform(0.65, 0.9)]
    part(np.stack([red * 0.1, red, np.minimum(red * 1.4, 262)]), head.lips)
    covered = rng.random() < 0.12
    top = canvas.colours(1)[0] if covered else hair_tone
    hair = part(np.stack([top * 0.15, top, np.minimum(top * 1.8 + 25, 262)]), head.hair)
    row = canvas.materials[hair]
    row[SHADE_MAP.start - 1] = rng.choice(canvas.bank.rows["weave" if covered else "blades"])
    row[SHADE_MAP] = 250 / unit * c, 250 / unit * s, rng.uniform(0, SIDE), rng.uniform(0, SIDE)
    row[SHADE_MAP.stop] = rng.uniform(0.2, 0.55)
    if covered and rng.random() < 0.6 and abs(head.yaw) < 1.8:  # a peak
        side = math.sin(head.yaw) * flip
        canvas.polygon(place(_smooth([[-0.7 + 0.5 * side, -0.75], [-0.5 + 0.9 * side, -0.35], [0.5 + 0.9 * side, -0.35],
                                      [0.7 + 0.5 * side, -0.75]])), int(canvas.copies(hair, 1, 0.3)[0]))
    if head.glasses:
        rim = canvas.material(canvas.colours(1, rng.choice([0.05, 0.1, 0.5]))[0], "smooth", 0.1)
        dark = rng.random() < 0.2
        for line in head.glasses:
            if dark and len(line) > 3:
                canvas.polygon(place(line * [flip, 1]), rim)
            canvas.curve(place(line * [flip, 1]), max(unit * rng.uniform(0.025, 0.07), 0.6), rim)


def _cloth(canvas, unit, lean):
    rng = canvas.rng
    name = str(rng.choice(["folds", "natural", "weave", "stripes", "motif", "shapes", "page"],
                          p=[0.42, 0.12, 0.14, 0.13, 0.1, 0.06, 0.03]))
    colours = canvas.colours(1, rng.beta(1.0, 1.6))[0]
    if name in ("stripes", "motif", "shapes", "page"):
        colours = canvas.colours(3)
    return canvas.material(colours, name, rng.uniform(0.1, 0.5), unit / 120 * math.exp(rng.uniform(-0.9, 0.7)),
                           lean + math.pi / 2 * rng.integers(0, 2), "folds", rng.uniform(0.3, 0.75))


def _torso(canvas, place, unit, lean, tone):
    """Neck, shoulders, arms, and what is sewn or printed on the chest; the cloth's label."""
    rng = canvas.rng
    neck, cloth = _skin(canvas, tone * 0.75), _cloth(canvas, unit, lean)
    wide, drop = rng.uniform(1.5, 2.3), rng.uniform(1.1, 1.5)
    canvas.rounded(neck, place([0, 0]), place([0, 1]), 0.6 * unit, 0.45)
    canvas.polygon(place([[-0.42, 0.4], [0.42, 0.4], [0.46, drop], [0.8, drop + 0.5], [0, drop + 1.2],
                          [-0.8, drop + 0.5], [-0.46, drop]]), neck)
    deep = rng.choice([0.15, 0.3, 0.9], p=[0.5, 0.3, 0.2])  # round neck, V, open
    hips = rng.uniform(1.1, 1.7)
    shoulders = [[-0.5, drop - 0.2], [-1.0, drop + 0.15], [-wide + 0.1, drop + 0.3], [-wide - 0.15, drop + 0.9],
                 [-wide * 0.93, drop + 2], [-hips, 4], [-hips - 0.1, 7], [hips + 0.1, 7], [hips, 4],
                 [wide * 0.93, drop + 2], [wide + 0.15, drop + 0.9], [wide - 0.1, drop + 0.3], [1.0, drop + 0.15],
                 [0.5, drop - 0.2], [0.15, drop + deep], [-0.15, drop + deep]]
    trousers = canvas.material(canvas.colours(1, rng.beta(1, 2), vivid=0.03)[0], "folds", 0.3, unit / 90, lean)
    for side in (-1, 1):
        canvas.polygon(place([[0, 5], [side * (hips + 0.1), 5], [side * rng.uniform(0.9, 1.6), 14], [side * 0.1, 14]]),
                       int(canvas.copies(trousers, 1, 0.1)[0]))
    canvas.polygon(place(_smooth(shoulders)), cloth)
    canvas.gradient(cloth, place([-wide, drop]), place([wide, drop + 2]), *rng.uniform(0.7, 1.25, 2))
    _on_the_chest(canvas, place, unit, lean, drop, cloth)
    sleeve = rng.choice([0.1, 0.7, 2.0], p=[0.12, 0.43, 0.45])  # none, short, long: in upper arms
    for side in (-1, 1):
        shoulder = np.array([side * wide * 0.92, drop + 0.75])
        elbow = shoulder + [side * rng.uniform(0.0, 1.0), rng.uniform(1.2, 2.3)]
        angle = rng.uniform(-0.5, 3.4)
        wrist = elbow + 1.9 * np.array([-side * math.sin(angle), math.cos(angle)])
        _limb(canvas, place, unit, (shoulder, elbow, wrist), sleeve, cloth, tone)
    return cloth


def _limb(canvas, place, unit, joints, sleeve, cloth, tone):
    """Upper arm and forearm, bare below the sleeve; the wrist ends in a fist, or in a cuff."""
    rng = canvas.rng
    shoulder, elbow, wrist = joints
    start, middle, end = place([shoulder, elbow, wrist])
    bare = sleeve < 1.5
    below = arm(canvas, middle, end, 0.3 * unit, tone) if bare else _tube(canvas, middle, end, 0.36 * unit, 0.27 * unit,
                                                                         int(canvas.copies(cloth, 1, 0.12)[0]))
    if bare:
        canvas.disc(middle, 0.31 * unit, 0.31 * unit, below)
    if rng.random() < 0.5:
        fist = _skin(canvas, tone * rng.uniform(0.85, 1.1))
        canvas.rounded(fist, middle, end, 0.4 * unit, 0.6)
        along = (end - middle) / max(math.hypot(*(end - middle)), 1e-6)
        canvas.disc(end + 0.25 * unit * along, 0.42 * unit, 0.33 * unit, fist, math.atan2(along[1], along[0]))
    cover = min(sleeve, 1.0)
    if bare and cover < 0.9:
        upper = arm(canvas, middle, start, 0.34 * unit, tone)
        canvas.disc(middle, 0.31 * unit, 0.31 * unit, upper)
    _tube(canvas, start, start + (middle - start) * cover, 0.46 * unit, 0.42 * unit,
          int(canvas.copies(cloth, 1, 0.12)[0]), cover > 0.9)


def _tube(canvas, start, end, first, last, label, closed=True):
    """A tapered, rounded limb of a label's own material."""
    along = (end - start) / max(math.hypot(*(end - start)), 1e-6)
    across = np.array([-along[1], along[0]])
    canvas.rounded(label, start, end, max(first, last), 0.55)
    canvas.polygon([start - across * first, start + across * first, end + across * last, end - across * last], label)
    canvas.disc(start, first, first, label)
    if closed:
        canvas.disc(end, last, last, label)
    return label


def _on_the_chest(canvas, place, unit, lean, drop, cloth):
    rng = canvas.rng
    kind = rng.random()
    ink = canvas.colours(2)
    if kind < 0.3:  # a print
        base = canvas.materials[cloth, 3:6]
        name = str(rng.choice(["page", "page", "shapes", "motif"]))
        label = canvas.material(np.stack([ink[0], base, base] if name == "page" else [ink[0], base, ink[1]]), name,
                                scale=unit / 100 * math.exp(rng.uniform(-0.7, 1.2)), angle=-lean)
        x, y, low = rng.uniform(0.3, 1.0), drop + rng.uniform(0.7, 1.2), rng.uniform(0.4, 2)
        canvas.polygon(place(_smooth([[-x, y], [x, y], [x, y + low], [-x, y + low]])), label)
    elif kind < 0.55:  # an open jacket, or a shirt's front with buttons
        inner = _cloth(canvas, unit, lean)
        x = rng.uniform(0.1, 0.9)
        canvas.polygon(place([[-0.3, drop], [0.3, drop], [x, drop + 2.5], [x, 7], [-x, 7], [-x, drop + 2.5]]), inner)
    elif kind < 0.75:
        line = canvas.material(ink[0], "smooth", 0.1)
        canvas.curve(place([[0, drop + 0.3], [0, 7]]), unit * rng.uniform(0.02, 0.12), line)
        for y in np.arange(drop + 0.6, 5, 0.55):
            canvas.disc(place([0.06, y]), unit * 0.05, unit * 0.05, line)
    if rng.random() < 0.35:  # a collar
        collar = int(canvas.copies(cloth, 1, 0.25)[0])
        for side in (-1, 1):
            canvas.polygon(place([[side * 0.5, drop - 0.35], [side * 0.1, drop + 0.25], [side * 0.35, drop + 0.55],
                                  [side * 0.75, drop + 0.1]]), collar)


def arm(canvas: Canvas, start, end, radius: float, tone) -> int:
    """A bare limb between two points (x, y) in px, thinner at its end; returns its label."""
    rng = canvas.rng
    start, end = np.asarray(start, float), np.asarray(end, float)
    label = _skin(canvas, tone, rng.uniform(0.04, 0.15))
    canvas.rounded(label, start, end, radius, rng.uniform(0.35, 0.75), 25 * (rng.random() < 0.4))
    along = end - start
    across = np.array([-along[1], along[0]]) / max(math.hypot(*along), 1e-6) * radius
    thin = rng.uniform(0.6, 0.85)
    shape = [start - across, start - along * 0.02, start + across, start + along * 0.35 + across * 1.06,
             end + across * thin, end + along * 0.02, end - across * thin, start + along * 0.35 - across * 1.06]
    canvas.polygon(_smooth(shape), label)
    return label


def skin(canvas: Canvas) -> None:
    """Forearms, legs, sausages side by side like fingers, and stripes, over what is there."""
    rng = canvas.rng
    tone = skin_colour(rng)
    for _ in range(int(rng.choice([0, 1, 1, 2]))):
        middle, angle = rng.random(2) * (canvas.width, canvas.height), rng.uniform(0, 6.3)
        along = canvas.side * np.array([math.cos(angle), math.sin(angle)])
        end, radius = middle + along * rng.uniform(0.1, 1), canvas.side * math.exp(rng.uniform(-3.5, -1.4))
        arm(canvas, middle - along * 1.2, end, radius, tone)
    for _ in range(int(rng.integers(1, 4))):
        sausages(canvas, tone if rng.random() < 0.7 else canvas.colours(1)[0])


def sausages(canvas: Canvas, tone) -> None:
    """One to five round-ended, rounded bars beside each other, with a bend, over what is there."""
    rng = canvas.rng
    radius = canvas.side * math.exp(rng.uniform(-4.2, -2.6))
    root, angle = rng.random(2) * (canvas.width, canvas.height), rng.uniform(0, 6.3)
    step = 2 * radius * rng.uniform(0.9, 1.8)
    for number in range(int(rng.integers(1, 6))):
        own = angle + 0.12 * rng.standard_normal()
        start = root + number * step * np.array([-math.sin(angle), math.cos(angle)])
        for bend in range(int(rng.integers(1, 4))):
            own += 0.5 * rng.standard_normal() * (bend > 0)
            end = start + radius * rng.uniform(2, 9) * np.array([math.cos(own), math.sin(own)])
            label = _skin(canvas, np.clip(tone * rng.uniform(0.85, 1.1), 0, 255))
            canvas.rounded(label, start, end, radius, rng.uniform(0.2, 0.7), 50 * (rng.random() < 0.3))
            canvas.capsule(start, end, radius, label)
            start = end
