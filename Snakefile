# The report as a graph: every experiment of report.yaml is one notebook executed by papermill; the analyses read what they
# wrote.   make report [PROFILE=smoke|demo|full]     make figures
import functools
import json
import os
import re
import shlex
import statistics
import sys
import threading
import time
from pathlib import Path

from serlib import corpora, findings, pages, provenance, records, runs

PROFILE = config.get("profile", "demo")
BUILD = f"build/{PROFILE}"
# The full report is what gets committed; every other profile stays below build/.
PREDICTIONS = "data/predictions" if PROFILE == "full" else f"{BUILD}/predictions"
FIGURES = "figures" if PROFILE == "full" else f"{BUILD}/figures"
AT_HAND = set(corpora.available())
PLANNED = [r for r in runs.plan(PROFILE) if not r.where_found or set(r.parameters["corpus"].split("+")) <= AT_HAND]
RUNS = {f"{run.notebook}/{run.name}": run for run in PLANNED}
LONG = [name for name, run in RUNS.items() if run.minutes > statistics.median(run.minutes for run in PLANNED)]
ANALYSES = runs.analyses()
LISTING = functools.cache(corpora.listing_hash)
CODE = functools.cache(functools.partial(provenance.code_hash, texts=provenance.sources()))
PAPERMILL = f"{shlex.quote(sys.executable)} -m papermill --cwd notebooks --no-progress-bar"

os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # the debugger's start-up warning is of no use in a log


def settings(run, folder):
    """A run's parameters, as papermill takes them on its command line (JSON is YAML too)."""
    return json.dumps(run.parameters | {"out_dir": folder})


def analyse(executed, log, predictions, figures, more=""):
    """Execute the analyses over predictions; what the committed ones say goes into the README too."""
    for notebook, path in zip(ANALYSES, executed, strict=True):
        folders = f"-p predictions_dir {predictions} -p figures_dir {figures} {more}"
        shell(f"{PAPERMILL} notebooks/{notebook}.ipynb {path} {folders} >> {log} 2>&1")
    if figures == "figures":
        findings.update_readme(records.read(Path(predictions)))


def todo():
    """Minutes, on one core, of each run that has not left its record."""
    return [run.minutes for name, run in RUNS.items() if not Path(f"{BUILD}/runs/{name}/run.json").exists()]


def say_time_left():
    """Every five minutes, in a thread that ends with the program."""
    while time.sleep(300) is None and (left := todo()):
        print(f"{len(RUNS) - len(left)} of {len(RUNS)} runs made, about {sum(left) / workflow.cores:.0f} min left")


onstart:
    if not {"figures", "paper"} & set(sys.argv):
        left = todo()
        print(f"Profile {PROFILE}: {len(RUNS)} runs, {len(left)} not yet made, about {sum(left) / workflow.cores:.0f} min.")
        print("Runs whose code, parameters or corpus changed are made again.")
        threading.Thread(target=say_time_left, daemon=True).start()


rule all:
    input:
        f"{BUILD}/book/index.html",


rule run:
    message:
        "{wildcards.run}"
    output:
        record=BUILD + "/runs/{run}/run.json",
        executed=BUILD + "/runs/{run}/executed.ipynb",
    params:  # a run is redone when one of these changes; a reworded paragraph does not cost hours
        code=lambda w: CODE(RUNS[w.run].notebook),
        listing=lambda w: LISTING(RUNS[w.run].parameters["corpus"]),
        settings=lambda w: settings(RUNS[w.run], f"{BUILD}/runs/{w.run}"),
        notebook=lambda w: f"notebooks/{RUNS[w.run].notebook}.ipynb",
    log:
        BUILD + "/logs/{run}.log",
    threads: 1  # two runs side by side are faster than one run on two cores
    shell:
        "export TF_NUM_INTRAOP_THREADS={threads} TF_NUM_INTEROP_THREADS=1; "
        "{PAPERMILL} {params.notebook} {output.executed} -y {params.settings:q} > {log} 2>&1"


use rule run as long_run with:  # begun first, so that none is left to run alone in the end
    wildcard_constraints:
        run="|".join(map(re.escape, LONG)) or "none",
    priority: 1


ruleorder: long_run > run


rule collect:
    message:
        "tables and pictures of all runs"
    input:
        [f"{BUILD}/runs/{name}/run.json" for name in RUNS],
    output:
        touch(f"{BUILD}/collected"),
    run:
        runs.collect([Path(path).parent for path in input], Path(PREDICTIONS), Path(FIGURES))


rule report:
    message:
        "the analyses, and all notebooks as a book"
    input:
        f"{BUILD}/collected",
        Path("notebooks").glob("*.ipynb"),
        Path("serlib").glob("*.py"),
        [path for folder in ("claims", "benchmarks", "splits") for path in Path(f"data/{folder}").glob("*.csv")],
        "data/listeners.csv",
        "README.md",
        [path for path in Path("docs").rglob("*") if path.suffix in {".py", ".md", ".bib", ".css"}],
    output:
        executed=[f"{BUILD}/{name}.ipynb" for name in ANALYSES],
        page=f"{BUILD}/book/index.html",
    log:
        f"{BUILD}/logs/analyses.log",
    run:
        analyse(output.executed, log, PREDICTIONS, FIGURES)
        first = {run.notebook: Path(f"{BUILD}/runs/{name}/executed.ipynb") for name, run in reversed(RUNS.items())}
        pages.book(first | {path.stem: path for path in map(Path, output.executed)}, Path(output.page).parent)
        report = Path(output.page).with_name("notebooks") / "20_report.html"
        print(f"\nThe book: {output.page}\nThe report, its last chapter: {report}\nFigures: {FIGURES}/\n")


rule figures:  # what is committed in data/predictions is enough, whatever the profile
    message:
        "the analyses over data/predictions"
    output:
        [f"build/figures/{name}.ipynb" for name in ANALYSES],
    log:
        "build/figures/analyses.log",
    run:
        analyse(output, log, "data/predictions", "figures")


rule paper:
    message:
        "figures, tables and report for print, over data/predictions"
    output:
        [f"build/paper/{name}.ipynb" for name in ANALYSES],
    log:
        "build/paper/analyses.log",
    run:
        analyse(output, log, "data/predictions", "build/paper/png", "-p paper_dir build/paper")
        pages.book({Path(path).stem: Path(path) for path in output}, Path("build/paper/pages"))
        printed = pages.to_pdf(Path("build/paper/pages/notebooks/20_report.html"), Path("build/paper/report.pdf"))
        print(f"\nFigures: build/paper/figures/*.pdf\nTables: build/paper/tables/*.tex\nThe report: {printed}\n")
