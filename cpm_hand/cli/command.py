"""One way out for all command lines: a person's mistake is one line, a mistake of ours is a traceback."""

import os
import pathlib
import sys
import tempfile
import warnings
from collections.abc import Callable

from absl import app, flags
from PIL import Image

# Before TensorFlow is imported, or it does not count.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]


def run_main(main: Callable) -> None:
    """Run a command line's main under absl and leave the process; the entry points of all scripts are this.

    What this package refuses by name (a ValueError or ImportError that it raises itself) and what the system
    refuses (an OSError) become one line `error: …` on stderr and status 1. Ctrl-C gives status 130. Anything
    else is a bug and keeps its traceback.

    Args:
        main: called with the arguments that are no flags; returns None or an exit status.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: names of files may be no text at all
    # At half of the size from which it refuses pictures, Pillow warns; `images.MAX_PIXELS` decides.
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    for flag in flags.FLAGS.get_flags_for_module(sys.modules[main.__module__]):
        # absl's --help lists the flags of the script, which is a shim without any of its own.
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    app.run(lambda argv: _guarded(main, argv), flags_parser=parse_flags)


def check_picture(name: str, path: str) -> None:
    """Refuse before the work a flag that names no picture which could be written."""
    if pathlib.Path(path).suffix not in (".png", ".jpg"):
        raise ValueError(f"--{name} must end in .png or .jpg, got '{path}'.")


def quiet_tensorflow() -> None:
    """Import TensorFlow without its notes about processors and missing GPUs.

    TensorFlow 2.21 writes some of them before it reads TF_CPP_MIN_LOG_LEVEL, straight to the
    process's stderr. What it wrote is shown after all when it fails, or when that variable is set to 0 or 1.
    """
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] in ("0", "1"):
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()  # looks for GPUs, and would complain that there are none
            tf.get_logger().setLevel("WARNING")  # the strategies tell of every collective they build
        except BaseException:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _guarded(main: Callable, argv: list[str]) -> int:
    try:
        return main(argv) or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"error: {_text(error)}", file=sys.stderr)
        return 1
    except (ValueError, ImportError) as error:
        if not _raised_by_us(error):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1


def _text(error: OSError) -> str:
    """Without the number, which tells people nothing."""
    if error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def _raised_by_us(error: Exception) -> bool:
    """Whether it comes out of a line of this package, rather than from deep within another one."""
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    return pathlib.Path(last.tb_frame.f_code.co_filename).resolve().is_relative_to(_PACKAGE)


def parse_flags(argv: list[str]) -> list[str]:
    """absl's parser, to which `--max-epoch` and `--max_epoch` are one flag, in flagfiles too."""
    try:
        expanded = flags.FLAGS.read_flags_from_files(argv, force_gnu=False)
    except flags.Error as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    end = expanded.index("--") if "--" in expanded else len(expanded)  # what follows it are no flags
    return app.parse_flags_with_usage([expanded[0], *map(_with_underscores, expanded[1:end]), *expanded[end:]])


def _with_underscores(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument[2:].partition("=")
    return "--" + name.replace("-", "_") + equals + value
