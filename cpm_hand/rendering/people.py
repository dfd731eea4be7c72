"""People and skin behind a hand: bodies in clothes, faces, forearms, and bright or skin-coloured sausages.

What could be mistaken for a hand or finger but is none: a net learns from these not to call every stripe a finger.
"""

import math

import numpy as np

from cpm_hand.rendering.canvas import Canvas


def skin_colour(rng) -> np.ndarray:
    """A skin tone from very dark to very light under a neutral light: float [3], sRGB.

    A curve through the ten tones of the Monk scale (Ellis Monk, Google 2022, skintone.google), with some spread.
    """
    tones = np.array([[41, 36, 32], [58, 49, 42], [96, 65, 52], [130, 92, 67], [160, 126, 86], [215, 189, 150],
                      [234, 218, 186], [247, 234, 208], [243, 231, 219], [246, 237, 228]], float)
    place = rng.uniform(1, 8.5)
    tone = np.array([np.interp(place, np.arange(10), channel) for channel in tones.T])
    flush = np.array([1.0, rng.uniform(0.8, 0.95), rng.uniform(0.72, 0.95)])  # photographs are redder
    return np.clip(tone * flush * rng.uniform(0.75, 1.05), 8, 255)


def _skin(canvas, tone, contrast=0.15):
    return canvas.material(tone, "natural", contrast, canvas.rng.uniform(0.4, 2), shade="smooth", shade_by=0.15)


def person(canvas: Canvas, unit: float | None = None) -> None:
    """Head, neck and torso over what is there.

    Args:
        canvas: what is drawn on.
        unit: half the height of the head, px; drawn if None.
    """
    rng = canvas.rng
    unit = canvas.side * math.exp(rng.uniform(-2.8, -0.7)) if unit is None else unit
    head = np.array([rng.uniform(-0.05, 1.05) * canvas.width, rng.uniform(-0.1, 0.9) * canvas.height])
    lean = 0.2 * rng.standard_normal()
    if rng.random() < 0.12:
        lean += rng.uniform(-math.pi, math.pi)
    c, s = math.cos(lean), math.sin(lean)
    frame = unit * np.array([[c, s], [-s, c]])

    def place(points):
        return np.asarray(points, float) @ frame + head

    tone = skin_colour(rng)
    hair_tone = np.array([[20, 16, 14], [62, 42, 30], [120, 86, 52], [165, 160, 155]])[rng.integers(0, 4)]
    hair = canvas.material(hair_tone * rng.uniform(0.5, 1.3), "blades", 0.5, unit / 250, lean, shade_by=0.3)
    long_hair = rng.random() < 0.4
    if long_hair:
        canvas.polygon(place([[-1, -0.5], [1, -0.5], [1.15, 1.6], [0.6, 1.9], [-0.6, 1.9], [-1.15, 1.6]]), hair)
    _torso(canvas, place, unit, lean, tone)
    canvas.disc(place([0, -0.18]), unit * 0.9, unit * 1.02, hair, lean)
    _face(canvas, place, unit, lean, tone)
    if rng.random() < 0.75:
        line = rng.uniform(-0.75, -0.45)
        canvas.polygon(place([[-0.8, -0.2], [-0.86, -0.7], [-0.5, -1.1], [0.2, -1.2], [0.7, -0.95], [0.85, -0.5],
                              [0.76, -0.15], [0.6, line], [0.1, line - 0.12], [-0.5, line]]), hair)


def _torso(canvas, place, unit, lean, tone):
    """Neck, shoulders, upper arms and perhaps a print on the chest."""
    rng = canvas.rng
    neck = _skin(canvas, tone * 0.75)
    wide, drop = rng.uniform(1.5, 2.2), rng.uniform(1.2, 1.6)
    name = str(rng.choice(["folds", "weave", "stripes", "motif", "natural", "shapes"],
                          p=[0.4, 0.2, 0.14, 0.1, 0.1, 0.06]))
    colours = canvas.colours(1, rng.beta(1.1, 1.6))[0]
    if name in ("stripes", "motif", "shapes"):
        colours = canvas.colours(3)
    cloth = canvas.material(colours, name, rng.uniform(0.15, 0.5), unit / 120 * math.exp(rng.uniform(-0.7, 0.7)),
                            lean + math.pi / 2 * rng.integers(0, 2), "folds", rng.uniform(0.25, 0.6))
    canvas.polygon(place([[-0.42, 0.5], [0.42, 0.5], [0.5, drop + 0.6], [-0.5, drop + 0.6]]), neck)
    shoulders = np.array([[-0.45, drop - 0.12], [-wide, drop + 0.35], [-wide - 0.25, drop + 1.0], [-wide, 6], [wide, 6],
                          [wide + 0.25, drop + 1.0], [wide, drop + 0.35], [0.45, drop - 0.12], [0, drop + 0.25]])
    canvas.polygon(place(shoulders), cloth)
    for side in (-1, 1):
        elbow = np.array([side * (wide + rng.uniform(0.1, 1.3)), drop + rng.uniform(1.5, 3.2)])
        start, end = place([[side * wide * 0.92, drop + 0.75], elbow])
        sleeve = int(canvas.copies(cloth, 1, 0.1)[0])
        canvas.rounded(sleeve, start, end, 0.42 * unit, 0.5)
        canvas.capsule(start, end, 0.42 * unit, sleeve)
        if rng.random() < 0.6:
            arm(canvas, end, place(elbow + rng.uniform(-2.4, 2.4, 2)), 0.32 * unit, tone)
    if rng.random() < 0.25:
        ink = canvas.colours(2)
        ink = canvas.material(np.stack([ink[0], colours[-3:].mean(0) if colours.ndim > 1 else colours, ink[1]]), "page",
                              scale=unit / 100, angle=-lean)
        canvas.polygon(place([[-0.8, drop + 1], [0.8, drop + 1], [0.8, drop + 2.4], [-0.8, drop + 2.4]]), ink)


def _face(canvas, place, unit, lean, tone):
    rng = canvas.rng
    for side in (-0.76, 0.76):
        ear = _skin(canvas, tone * 0.8, 0.3)
        canvas.disc(place([side, 0.05]), 0.14 * unit, 0.25 * unit, ear, lean)
    c, s = math.cos(lean), math.sin(lean)
    turn = rng.uniform(-0.35, 0.35)  # the head looks aside
    scale = 256 / unit
    matrix = scale * np.array([[c / 0.8, s / 0.8, 0], [-s, c, 0], [0, 0, 0]])
    centre = place([turn * 0.8, 0])
    matrix[:, 2] = [256, 256, 1]
    matrix[:2, 2] -= matrix[:2, :2] @ centre
    ramp = np.stack([tone * [0.22, 0.13, 0.12], tone, np.minimum(tone * 1.35 + 25, 255)])
    label = canvas.material(ramp, "face", matrix=matrix, shade_by=0.1)
    canvas.gradient(label, place([-0.8, 0]), place([0.8, 0]), rng.uniform(0.55, 1.15), rng.uniform(0.55, 1.15))
    angle = np.linspace(0, 2 * math.pi, 28, endpoint=False)
    jaw = np.stack([0.8 * np.cos(angle) * np.where(np.sin(angle) > 0, 1 - 0.25 * np.sin(angle) ** 2, 1),
                    np.sin(angle)], 1)
    canvas.polygon(place(jaw), label)


def arm(canvas: Canvas, start, end, radius: float, tone) -> None:
    """A bare limb between two points (x, y) in px, thinner at its end."""
    rng = canvas.rng
    start, end = np.asarray(start, float), np.asarray(end, float)
    label = _skin(canvas, tone, 0.12)
    canvas.rounded(label, start, end, radius, rng.uniform(0.35, 0.75), 25 * (rng.random() < 0.4))
    along = end - start
    across = np.array([-along[1], along[0]]) / max(math.hypot(*along), 1e-6) * radius
    thin = rng.uniform(0.6, 0.85)
    canvas.polygon([start - across, start + across, start + along * 0.4 + across * 1.03, end + across * thin,
                    end - across * thin, start + along * 0.4 - across * 1.03], label)


def skin(canvas: Canvas) -> None:
    """Forearms, sausages side by side like fingers, and stripes, over what is there."""
    rng = canvas.rng
    tone = skin_colour(rng)
    if rng.random() < 0.6:
        middle, angle = rng.random(2) * (canvas.width, canvas.height), rng.uniform(0, 6.3)
        along = canvas.side * np.array([math.cos(angle), math.sin(angle)])
        end, radius = middle + along * rng.uniform(0.1, 1), canvas.side * rng.uniform(0.03, 0.16)
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
