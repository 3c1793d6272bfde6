"""The runs of ``report.yaml``: planned, gathered when finished, and held against the code as it is now."""

from __future__ import annotations

import ast
import functools
import itertools
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from serlib import provenance, records
from serlib.corpora import REPOSITORY

PLAN = REPOSITORY / "report.yaml"
NAMED = {"corpus": "", "protocol": "", "per_emotion": "each", "fold": "fold", "seed": "seed"}  # in a run's name
WAIVERS = "waivers.csv"  # beside runs.csv


@dataclass(frozen=True)
class Run:
    """One notebook with one set of parameters.

    Attributes
    ----------
    notebook : str
        Stem of its file name.
    name : str
        Unique among the notebook's runs, such as ``tess-speaker_independent-fold0-seed1``.
    parameters : dict
    minutes : float
        Rough duration on one core.
    where_found : bool
        It is made where its corpus is found, and is not missed elsewhere.
    """

    notebook: str
    name: str
    parameters: dict
    minutes: float
    where_found: bool = False


def analyses(path: Path = PLAN) -> list[str]:
    """Notebooks that read what runs left, in the order in which they are executed."""
    return list(yaml.safe_load(path.read_text())["analyses"])


def plan(profile: str, path: Path = PLAN) -> list[Run]:
    """Expand one profile of ``report.yaml`` into its runs.

    A list of values is one run for each. Where the notebook's own value is a list, a list is one value, and a list of
    lists is one run for each.

    Raises
    ------
    ValueError
        Unknown profile or notebook, a parameter that the notebook's parameters cell lacks (papermill would only warn),
        or a run listed twice.
    """
    profiles = yaml.safe_load(path.read_text())["experiments"]
    if profile not in profiles:
        raise ValueError(f"{path.name} has no profile {profile!r}; it has {', '.join(profiles)}")
    runs: list[Run] = []
    for entry in profiles[profile]:
        settings = dict(entry)
        minutes, stems = settings.pop("minutes", 1), settings.pop("notebook")
        where_found = settings.pop("where_found", False)
        for notebook in [stems] if isinstance(stems, str) else stems:
            defaults = parameters_of(path.parent / "notebooks" / f"{notebook}.ipynb")
            unknown = [name for name in settings if name not in defaults]
            if unknown:
                raise ValueError(f"{notebook} has no parameter {', '.join(unknown)}; it has {', '.join(defaults)}")
            grid = {name: _values(value, defaults[name]) for name, value in settings.items()}
            for values in itertools.product(*grid.values()):
                runs.append(Run(notebook, "", dict(zip(grid, values, strict=True)), minutes, where_found))
    return list(_named(runs, f"{path.name}: profile {profile}"))


def parameters_of(notebook: Path) -> dict[str, object]:
    """Names and default values of a notebook's parameters cell.

    Raises
    ------
    ValueError
        There is no such notebook, or it has no parameters cell.
    """
    if not notebook.is_file():
        raise ValueError(f"there is no notebook {notebook}")
    for cell in json.loads(notebook.read_text())["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            body = ast.parse("".join(cell["source"])).body
            return {s.targets[0].id: ast.literal_eval(s.value) for s in body if isinstance(s, ast.Assign)}  # type: ignore[attr-defined]
    raise ValueError(f"{notebook} has no cell tagged parameters")


def _values(given: object, default: object) -> list:
    """The values that a plan gives for one parameter, as a list of them."""
    if isinstance(default, list):
        return given if isinstance(given, list) and given and isinstance(given[0], list) else [given]
    return given if isinstance(given, list) else [given]


def _named(runs: list[Run], where: str) -> Iterator[Run]:
    """Names from what `NAMED` lists; runs that would be called alike also carry what else tells them apart."""
    names = [
        "-".join(f"{label}{r.parameters[key]}" for key, label in NAMED.items() if r.parameters.get(key) is not None)
        for r in runs
    ]
    alike: dict[tuple[str, str], list[Run]] = {}
    for run, name in zip(runs, names, strict=True):
        alike.setdefault((run.notebook, name), []).append(run)
    for run, name in zip(runs, names, strict=True):
        group = alike[run.notebook, name]
        if sum(other.parameters == run.parameters for other in group) > 1:
            raise ValueError(f"{where} lists this run twice: {run.notebook}/{name or 'default'}")
        extra = [  # in the run's own order, so that no other entry moves it
            f"{key}{_slug(value)}"
            for key, value in run.parameters.items()
            if any(repr(other.parameters.get(key, "-")) != repr(value) for other in group)
        ]
        yield replace(run, name="-".join([*([name] if name else []), *extra]) or "default")


def _slug(value: object) -> str:
    text = "+".join(map(str, value)) if isinstance(value, list) else str(value)
    return "".join(letter if letter.isalnum() or letter in "+._" else "_" for letter in text)


def collect(runs: Sequence[Path], predictions_dir: Path, figures_dir: Path) -> None:
    """Gather finished runs: their tables, one file a notebook and kind, a list of the runs, and their pictures.

    Nothing that is there is touched before all has been read and checked.

    Parameters
    ----------
    runs : sequence of Path
        Folders written by `serlib.records.write_run`.
    predictions_dir, figures_dir : Path
        Receive ``<notebook>_<kind>.parquet`` and ``runs.csv``, in place of all parquet files there, and
        ``<notebook>/<picture>``. Of training rows those under a random split are kept, which claims are held against,
        and of these the answers, without probabilities. What a run itself draws shows single recordings, which are not
        ours to publish unless they are of the synthetic corpus: other pictures stay with the run. Their names say
        corpus, sample and, where it matters, protocol; of runs that differ in seed or fold alone, the first by name
        gives the picture.

    Raises
    ------
    FileNotFoundError
        A run is not finished; names its ``run.json``.
    ValueError
        See `serlib.records.checked`.
    """
    rows: list[dict] = []
    pictures: dict[tuple[str, str], Path] = {}
    tables: dict[str, list[pd.DataFrame]] = {}
    for folder in sorted(runs):
        record = json.loads((folder / "run.json").read_text())
        stem, corpus = record["notebook"], record["corpus"]["name"]
        rows.append(
            {"notebook": stem, "run": folder.name, "corpus": corpus}
            | {key: record["parameters"].get(key) for key in ("protocol", "fold", "seed")}
            | {key: record[key] for key in ("code", "commit", "backend", "seconds", "python")}
            | {"fingerprint": record["corpus"]["fingerprint"], **record["versions"]}
            | {"parameters": json.dumps(record["parameters"], sort_keys=True)}
        )
        for kind in records.REQUIRED:
            path = folder / f"{kind}.parquet"
            if path.exists():
                tables.setdefault(f"{stem}_{kind}", []).append(records.checked(pd.read_parquet(path), kind, path))
        for picture in (folder / "figures").glob("*.png") if corpus == "mini" else ():
            pictures.setdefault((stem, picture.name), picture)
    aside = predictions_dir.with_name(f"{predictions_dir.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for name, parts in tables.items():
        gathered = pd.concat(parts, ignore_index=True)
        if name.endswith("_membership"):  # what is alike beside what is alike makes a file less than half as large
            gathered = gathered.drop_duplicates().sort_values(["corpus", "utterance"], kind="stable")
        if name.endswith("_predictions"):  # training rows are most of the bytes, and say little
            own = gathered.part == "train"
            gathered.loc[own, gathered.columns[gathered.columns.str.startswith("p_")]] = np.nan
            gathered = gathered[~own | (gathered.protocol == "random")]
        gathered.to_parquet(aside / f"{name}.parquet", compression="zstd", compression_level=19, index=False)
    pd.DataFrame(rows).to_csv(aside / "runs.csv", index=False)
    predictions_dir.mkdir(parents=True, exist_ok=True)
    for old in predictions_dir.glob("*.parquet"):  # of notebooks that are no longer in the plan, too
        old.unlink()
    for new in aside.iterdir():
        new.replace(predictions_dir / new.name)
    aside.rmdir()
    for (stem, name), picture in pictures.items():
        (figures_dir / stem).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, figures_dir / stem / name)


def provenance_line(predictions_dir: Path, notebook: str | None = None) -> str:
    """Which commits and seeds a notebook's predictions come from (all notebooks by default), in one line."""
    runs = pd.read_csv(predictions_dir / "runs.csv")
    runs = runs if notebook is None else runs[runs.notebook == notebook]
    seeds = ", ".join(str(int(seed)) for seed in sorted(runs.seed.dropna().unique()))
    commits = ", ".join(sorted(runs.commit.dropna().unique())) or "none"
    corpora = ", ".join(sorted(runs.corpus.unique()))
    return f"{notebook or 'all notebooks'}; corpora {corpora}; seeds {seeds}; commit {commits}"


def stale(predictions_dir: Path, profile: str = "full", path: Path = PLAN) -> pd.DataFrame:
    """Gathered runs that the code and the plan would no longer give, and planned ones that are not there.

    Parameters
    ----------
    predictions_dir : Path
        With ``runs.csv`` and, where there are any, ``waivers.csv``: columns notebook, recorded (the hash that runs
        have), now (the hash of the code for which they are accepted) and reason. A waiver ends when the code changes
        once more.
    profile : str
    path : Path
        The plan.

    Returns
    -------
    DataFrame
        Columns notebook, run, why; empty where all is as it should be.
    """
    code_now = functools.cache(functools.partial(provenance.code_hash, texts=provenance.sources()))
    waived = waivers(predictions_dir)
    accepted = set(zip(waived.notebook, waived.recorded, waived.now, strict=True))
    recorded = pd.read_csv(predictions_dir / "runs.csv", dtype={"code": str}).set_index(["notebook", "run"])
    planned = {(run.notebook, run.name): run for run in plan(profile, path)}
    rows = []
    for key in [*planned, *(key for key in recorded.index if key not in planned)]:
        if key not in recorded.index:
            rows += [] if planned[key].where_found else [(*key, "not made yet")]
        elif key not in planned:
            rows.append((*key, "no longer in the plan"))
        else:
            row, now = recorded.loc[key], code_now(key[0])
            code = row.code if isinstance(row.code, str) else "unknown"
            of_run = json.loads(row.parameters)
            changed = [name for name, value in planned[key].parameters.items() if of_run.get(name) != value]
            if code != now and (key[0], code, now) not in accepted:
                rows.append((*key, f"made by code {code}, which is now {now}"))
            elif changed:
                rows.append((*key, f"made with another {', '.join(changed)}"))
    return pd.DataFrame(rows, columns=["notebook", "run", "why"])


def waivers(predictions_dir: Path) -> pd.DataFrame:
    """Recorded waivers, see `stale`."""
    path = predictions_dir / WAIVERS
    return (
        pd.read_csv(path, dtype=str)
        if path.exists()
        else pd.DataFrame(columns=["notebook", "recorded", "now", "reason"])
    )


def waive(predictions_dir: Path, notebook: str, reason: str) -> int:
    """Accept a notebook's gathered runs under the code as it is now; gives the number of hashes accepted.

    Waivers of the notebook for other code are dropped: they have ended.

    Raises
    ------
    ValueError
        No reason is given, or no run of the notebook is stale because of its code.
    """
    runs = pd.read_csv(predictions_dir / "runs.csv", dtype={"code": str})
    now = provenance.code_hash(notebook, provenance.sources())
    recorded = runs.code[runs.notebook == notebook].fillna("unknown")
    old = sorted(set(recorded) - {now})
    if not reason.strip() or not old:
        raise ValueError("a waiver needs a reason" if old else f"no run of {notebook} was made by other code")
    kept = waivers(predictions_dir).query("notebook != @notebook")
    new = pd.DataFrame({"notebook": notebook, "recorded": old, "now": now, "reason": reason.strip()})
    pd.concat([kept, new]).sort_values(["notebook", "recorded"]).to_csv(predictions_dir / WAIVERS, index=False)
    return len(old)
