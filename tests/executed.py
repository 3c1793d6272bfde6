"""Notebooks run as the report runs them, for the tests."""

from pathlib import Path

import papermill

from serlib.corpora import REPOSITORY

NOTEBOOKS = REPOSITORY / "notebooks"


def execute(notebook: str, parameters: dict, folder: Path, monkeypatch) -> None:
    for threads in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.setenv(threads, "1")
    path = str(NOTEBOOKS / f"{notebook}.ipynb")
    papermill.execute_notebook(path, str(folder / "executed.ipynb"), parameters, cwd=str(NOTEBOOKS), progress_bar=False)
