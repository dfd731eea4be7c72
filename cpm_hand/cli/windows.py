"""`test.py --show`: pictures in windows, where there is a display."""

import os
import sys

import numpy as np


def show(drawn: dict[str, np.ndarray]) -> None:
    """Open one window per picture and wait until they are closed; say so where there is no display."""
    # Matplotlib falls back to files in silence where it may choose, and fails where it was told a toolkit.
    on_x11 = sys.platform.startswith("linux")
    display = not on_x11 or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    try:
        import matplotlib.pyplot as plt

        plt.switch_backend(plt.get_backend())
        windows = bool(display) and plt.get_backend().lower() in _interactive()
    except ImportError:
        windows = False
    if not windows:
        why = "Matplotlib has no window toolkit (pip install pyqt6)" if display else "there is no display"
        print(f"--show: no windows, for {why}; look at the files above.", file=sys.stderr)
        return
    for name, page in drawn.items():
        figure = plt.figure(name)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.imshow(page)
        axes.set_axis_off()
    plt.show()


def _interactive() -> list[str]:
    from matplotlib.backends.registry import BackendFilter, backend_registry

    return backend_registry.list_builtin(BackendFilter.INTERACTIVE)
