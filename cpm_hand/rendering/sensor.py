"""What a camera does to a picture: focus, motion, resolution, light, colour, noise, and how hard it is compressed."""

import functools
import math
from typing import NamedTuple

import cv2
import numba
import numpy as np

NOISE_SIZE = 1 << 20  # values in each row of the noise bank


class Exposure(NamedTuple):
    """One camera's settings. The values below do nothing to a picture."""

    shrink: float = 1.0  # the picture is scaled down by this and up again
    defocus_px: float = 0.0  # sigma
    motion_px: float = 0.0  # length of the streak
    motion_angle: float = 0.0  # radians
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)  # gains of red, green and blue in linear light
    stops: float = 0.0  # exposure: each doubles the light
    gamma: float = 1.0  # of the tone curve, on sRGB values
    contrast: float = 0.0  # 1 an S-curve, -1 flat
    haze: float = 0.0  # share of grey that lies over everything
    vignette: float = 0.0  # loss in the corners
    shot: float = 0.0  # deviation of the noise at white, sRGB values
    read: float = 0.0  # deviation of the noise at black
    grain: int = 0  # 0 noise of single pixels, 1 of clumps


def draw(rng: np.random.Generator, strength: float = 1.0) -> Exposure:
    """Draw settings.

    Args:
        rng: NumPy generator.
        strength: 0 for a perfect camera, 1 for the spread of phones and webcams, more for worse ones.

    Raises:
        ValueError: strength is negative or not finite.
    """
    if not (math.isfinite(strength) and strength >= 0):
        raise ValueError(f"strength must be 0 or more, got {strength}.")
    u, n = rng.random(9), rng.standard_normal(8)
    if strength == 0:
        return Exposure()
    warm = 0.13 * n[0]
    far = u[0] < 0.1 * strength  # now and then the light fails or floods
    stops = strength * (n[1] * (1.1 if far else 0.35) - (0.5 if far else 0.0))
    noisy = strength * math.exp(0.8 * n[2]) * (1 + max(-stops, 0))
    noisy *= 0.3 if u[1] > 0.65 else 1.0  # phones smooth it away
    return Exposure(
        shrink=1 + strength * (2.2 * u[2] if u[1] < 0.2 else 0.0),
        defocus_px=strength * (1.6 * u[4] if u[3] < 0.25 else 0.35 * u[4]),
        motion_px=strength * 11 * u[6] if u[5] < 0.1 * strength else 0.0,
        motion_angle=math.pi * u[7],
        balance=(math.exp(strength * (warm + 0.03 * n[3])), 1.0, math.exp(strength * (-warm + 0.03 * n[4]))),
        stops=float(np.clip(stops, -3, 2)), gamma=math.exp(strength * 0.14 * n[5]), contrast=strength * 0.22 * n[6],
        haze=strength * 0.18 * u[8] ** 3, vignette=strength * 0.22 * u[7] ** 2,
        shot=min(2.2 * noisy, 18.0), read=min(1.3 * noisy, 12.0), grain=int(u[5] * 10) % 2)


def expose(rng: np.random.Generator, image: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Take a picture of a picture with settings drawn by `draw`.

    Args:
        rng: NumPy generator; the same state gives the same bytes.
        image: uint8 [H, W, 3], sRGB.
        strength: as in `draw`; 0 gives the picture back as it came.

    Returns:
        uint8 [H, W, 3], a new array.
    """
    return apply(rng, image, draw(rng, strength))


def apply(rng: np.random.Generator, image: np.ndarray, exposure: Exposure) -> np.ndarray:
    """Take a picture of a picture with these settings; rng only chooses where in the noise bank to read."""
    out = _optics(image, exposure)
    out = cv2.LUT(out, tone_curves(exposure)[None]) if _has_curve(exposure) else out
    if exposure.shot or exposure.read or exposure.vignette:
        start = int(rng.integers(0, NOISE_SIZE))
        level = np.arange(256, dtype=np.float32) / 255
        sigma = np.sqrt(exposure.read**2 * (1 - level) + exposure.shot**2 * level).astype(np.float32)
        out = _noise(out, noise_bank()[exposure.grain], start, sigma, exposure.vignette)
    return out.copy() if out is image else out


def _has_curve(exposure: Exposure) -> bool:
    plain = Exposure()
    return any(getattr(exposure, name) != getattr(plain, name)
               for name in ("balance", "stops", "gamma", "contrast", "haze"))


def _optics(image, exposure):
    height, width = image.shape[:2]
    if exposure.shrink > 1.05:
        small = max(round(width / exposure.shrink), 8), max(round(height / exposure.shrink), 8)
        image = cv2.resize(cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height),
                           interpolation=cv2.INTER_LINEAR)
    if exposure.defocus_px > 0.2:
        size = 3 if exposure.defocus_px < 0.6 else 5 if exposure.defocus_px < 1.1 else 0
        image = cv2.GaussianBlur(image, (size, size), exposure.defocus_px)
    if exposure.motion_px > 1.5:
        side = int(exposure.motion_px) // 2 * 2 + 3
        kernel, middle = np.zeros((side, side), np.float32), (side - 1) / 2
        reach = exposure.motion_px / 2 * np.array([math.cos(exposure.motion_angle), math.sin(exposure.motion_angle)])
        ends = [tuple(int(v) for v in np.round(16 * (middle + sign * reach))) for sign in (-1, 1)]
        cv2.line(kernel, *ends, 1.0, 1, cv2.LINE_8, 4)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    return image


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light to sRGB values, both from 0 up; IEC 61966-2-1."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def tone_curves(exposure: Exposure) -> np.ndarray:
    """White balance, exposure, gamma, contrast and haze as one table: uint8 [256, 3].

    Gains act on linear light (the sRGB curve of IEC 61966-2-1 undone); the rest acts on sRGB values.
    """
    value = np.arange(256)[:, None] / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    linear = linear * 2.0**exposure.stops * np.array(exposure.balance)
    value = np.clip(to_srgb(linear), 0, 1) ** exposure.gamma
    value += exposure.contrast * (value * value * (3 - 2 * value) - value)
    value = value * (1 - exposure.haze) + 0.75 * exposure.haze
    return np.uint8(np.clip(255 * value + 0.5, 0, 255))


@functools.cache
def noise_bank() -> np.ndarray:
    """Standard normal noise from a fixed seed, float32 [2, NOISE_SIZE]: single values, and smoothed ones.

    The smoothed row has neighbours that resemble each other, as the noise of phones has after their filters.
    """
    white = np.random.default_rng(20261122).standard_normal(NOISE_SIZE, np.float32)
    soft = cv2.GaussianBlur(white.reshape(1024, -1), (0, 0), 0.8).ravel()
    return np.stack([white, soft / soft.std()])


@numba.njit(cache=True, nogil=True)
def _noise(image, bank, start, sigma, vignette):
    """Add noise whose deviation depends on the value; mostly the same in the three channels' brightness."""
    height, width = image.shape[:2]
    out, mask = np.empty_like(image), bank.size - 1
    half, low, top = np.float32(0.5), np.float32(0), np.float32(255)
    fall = np.float32(4 * vignette / (width * width + height * height))
    for y in range(height):
        row = start + 1024 * y
        dy = np.float32(y) - np.float32(0.5 * height)
        for x in range(width):
            dx = np.float32(x) - np.float32(0.5 * width)
            gain = np.float32(1) - fall * (dx * dx + dy * dy)
            place = row + x
            shared = bank[place & mask]
            for c in range(3):
                value = image[y, x, c]
                own = bank[(place + 357913 * (c + 1)) & mask]
                noisy = np.float32(value) * gain + sigma[value] * (np.float32(0.75) * shared + np.float32(0.66) * own)
                out[y, x, c] = np.uint8(min(max(noisy + half, low), top))
    return out


def jpeg_quality(rng: np.random.Generator) -> int:
    """The quality to write a picture with, 35..97, mostly 70 to 95 as phones and web sites do."""
    return int(np.clip(98 - rng.gamma(2.0, 7.5), 35, 97))
