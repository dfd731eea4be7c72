"""The directions of imports, read from the source, and that every module can be imported."""

import ast
import importlib
import pathlib
import subprocess
import sys

import pytest

import cpm_hand

PACKAGE = pathlib.Path(cpm_hand.__file__).parent
# A module imports only from the lines above its own.
LAYERS = [
    {"hand", "geometry", "foreign", "markup"},
    {"labels", "images", "targets", "layers", "losses", "metrics", "augment", "draw", "schedules",
     "pickles", "caffe", "hdf5", "optimizers", "strategies", "search", "skeletons", "plots", "pending"},
    {"nets", "datasets", "inference", "validation", "overfit", "rendering", "crops", "scores", "pth", "given", "looks",
     "quantization", "serving"},
    {"pipeline", "checkpoints", "reports", "artefacts"},
    {"graphs", "shipped"},
    {"formats"},
    {"weights", "runtimes", "engine", "sets", "guards", "report_content"},
    {"predict", "parity", "conversion", "transfer", "report_hands", "settings"},
    {"export", "results", "pages", "evaluation", "starts"},
    {"training", "html_report"},
    {"cli"},
]
# What the flags of a command line turn it into.
TURNS_INTO = {"cli.test": ("cli.evaluate", "cli.side_by_side", "cli.windows"), "cli.train": ("cli.demo",)}
NO_TENSORFLOW = ("hand", "geometry", "labels", "images", "metrics", "augment", "draw", "schedules", "datasets",
                 "datasets.cmu")
FILES = sorted(PACKAGE.rglob("*.py"))


def layer(module: str) -> int:
    if module.endswith("__main__"):
        module = "cli"  # a command line, wherever it lies
    return next(number for number, names in enumerate(LAYERS) if module.split(".")[0] in names)


def own_imports(path: pathlib.Path) -> set[str]:
    """Modules of the package that a file imports anywhere, without the package's own name in front."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("cpm_hand.") for name in found if name.startswith("cpm_hand.")}


def module_name(path: pathlib.Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_module_imports_only_from_lower_layers(path):
    name = module_name(path)
    if name == "__init__":
        assert not own_imports(path)
        return
    for imported in own_imports(path):
        if imported == "__version__" or (imported.startswith(("cli.command", "cli.predictors"))
                                         and layer(name) == layer("cli")):
            continue  # the command lines share their way out, and what they run
        if imported in TURNS_INTO.get(name, ()):
            continue
        shelf = name.split(".")[0]
        if imported.split(".")[0] == shelf == "rendering":
            continue  # one subject in several files, which build on each other
        if imported.split(".")[0] == shelf in ("nets", "datasets", "formats", "cli"):
            # A shelf's table imports its files; its files do not import each other.
            assert name in (shelf, f"{shelf}.__main__"), f"{name} <- {imported}"
        else:
            assert layer(imported) < layer(name), f"{name} (layer {layer(name)}) imports {imported}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_every_module_can_be_imported(path):
    if path.name != "__main__.py":
        importlib.import_module("cpm_hand." + module_name(path) if module_name(path) != "__init__" else "cpm_hand")


def test_nets_targets_and_losses_import_no_tensorflow():
    """They also run on Keras's other backends."""
    for name in ("targets.py", "layers.py", "losses.py", "optimizers.py", "inference.py", "nets/*.py"):
        for path in PACKAGE.glob(name):
            assert "tensorflow" not in path.read_text(), path


def test_the_numpy_half_does_not_import_tensorflow_or_keras():
    modules = ", ".join(f"cpm_hand.{name}" for name in NO_TENSORFLOW)
    code = f"import sys, {modules}; print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_nobody_but_geometry_and_targets_multiplies_by_a_stride():
    for path in FILES:
        if path.name in ("geometry.py", "targets.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
                names = {part.id for part in (node.left, node.right) if isinstance(part, ast.Name)}
                names |= {part.attr for part in (node.left, node.right) if isinstance(part, ast.Attribute)}
                assert "stride" not in names, f"{path}:{node.lineno} multiplies by a stride"
