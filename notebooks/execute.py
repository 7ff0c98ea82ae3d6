"""Run notebooks from their first cell to their last and write them with their outputs: execute.py FOLDER [FILE ...].

The kernel is the Python that runs this, so that none need be installed; what it writes about itself goes to FOLDER too.
"""

import os
import sys
from pathlib import Path

import jupyter_client
import nbclient
import nbformat
from jupyter_client.kernelspec import KernelSpec


class OwnKernel(jupyter_client.AsyncKernelManager):
    """The kernel of this very Python."""

    kernel_spec = KernelSpec(
        argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        env={"MPLBACKEND": "module://matplotlib_inline.backend_inline"},  # whatever the shell says
        name="own",
    )


def execute(path: Path, folder: Path) -> None:
    """Run a notebook in a folder and write it there with its outputs, also those of a cell that fails."""
    book = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(book, km=OwnKernel(), timeout=600, resources={"metadata": {"path": str(folder)}})
    try:
        client.execute()
    finally:
        nbformat.write(book, folder / path.name)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        os.environ[name] = str(folder / ".jupyter" / name.lower())
        Path(os.environ[name]).mkdir(parents=True, exist_ok=True)
    for path in map(Path, sys.argv[2:] or sorted(Path(__file__).parent.glob("*.ipynb"))):
        execute(path, folder)
