# The report as a graph: every run of report.yaml is one notebook executed by papermill; the report reads what they wrote.
#   make report [PROFILE=smoke|demo|full]     make figures
import functools
import json
import os
import shlex
import sys
from pathlib import Path

from serlib import corpora
from serlib.report import code_hash, collect, plan, read, to_html, update_readme

PROFILE = config.get("profile", "demo")
BUILD = f"build/{PROFILE}"
# The full report is what gets committed; every other profile stays below build/.
PREDICTIONS = "data/predictions" if PROFILE == "full" else f"{BUILD}/predictions"
FIGURES = "figures" if PROFILE == "full" else f"{BUILD}/figures"
RUNS = {f"{run.notebook}/{run.name}": run for run in plan(PROFILE)}
LISTING = functools.cache(corpora.listing_hash)
PAPERMILL = f"{shlex.quote(sys.executable)} -m papermill --cwd notebooks --no-progress-bar"
SHARED_CODE = [  # what can change a prediction
    Path(f"serlib/{module}.py")
    for module in (
        "sources", "listening", "corpora", "synthetic", "splits", "metrics", "audio", "features", "training", "models",
    )
]  # fmt: skip
OWN_CODE = dict.fromkeys(  # what can change some notebooks alone
    ["08_vit", "09_beit", "10_grad_cam"], [Path("serlib/transformer.py"), Path("serlib/explain.py")]
)

os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # the debugger's start-up warning is of no use in a log


def settings(run, folder):
    """A run's parameters, as papermill takes them on its command line (JSON is YAML too)."""
    return json.dumps(run.parameters | {"out_dir": folder})


def draw(executed, log):
    """Run the report's notebook over the predictions; the full report's table goes into the README too."""
    folders = f"-p predictions_dir {PREDICTIONS} -p figures_dir {FIGURES}"
    shell(f"{PAPERMILL} notebooks/18_report.ipynb {executed} {folders} > {log} 2>&1")
    if PROFILE == "full":
        update_readme(read(Path(PREDICTIONS))[0])


onstart:
    todo = [run.minutes for name, run in RUNS.items() if not Path(f"{BUILD}/runs/{name}/run.json").exists()]
    if "figures" not in sys.argv:
        print(f"Profile {PROFILE}: {len(RUNS)} runs, {len(todo)} not yet made, about {sum(todo) / workflow.cores:.0f} min.")
        print("Runs whose code, parameters or corpus changed are made again.")


rule all:
    input:
        f"{BUILD}/pages/18_report.html",


rule run:
    message:
        "{wildcards.notebook}: {wildcards.name}"
    output:
        record=BUILD + "/runs/{notebook}/{name}/run.json",
        executed=BUILD + "/runs/{notebook}/{name}/executed.ipynb",
    params:  # a run is redone when one of these changes; a reworded paragraph does not cost hours
        code=lambda w: code_hash([Path(f"notebooks/{w.notebook}.ipynb"), *SHARED_CODE, *OWN_CODE.get(w.notebook, [])]),
        listing=lambda w: LISTING(RUNS[f"{w.notebook}/{w.name}"].parameters["corpus"]),
        settings=lambda w: settings(RUNS[f"{w.notebook}/{w.name}"], f"{BUILD}/runs/{w.notebook}/{w.name}"),
    log:
        BUILD + "/logs/{notebook}/{name}.log",
    threads: 1  # two runs side by side are faster than one run on two cores
    shell:
        "export TF_NUM_INTRAOP_THREADS={threads} TF_NUM_INTEROP_THREADS=1; "
        "{PAPERMILL} notebooks/{wildcards.notebook}.ipynb {output.executed} -y {params.settings:q} > {log} 2>&1"


rule collect:
    message:
        "predictions and figures of all runs"
    input:
        [f"{BUILD}/runs/{name}/run.json" for name in RUNS],
    output:
        touch(f"{BUILD}/collected"),
    run:
        collect([Path(path).parent for path in input], Path(PREDICTIONS), Path(FIGURES))


rule report:
    message:
        "18_report, and every notebook as a page"
    input:
        f"{BUILD}/collected",
        notebook="notebooks/18_report.ipynb",
        code=["serlib/metrics.py", "serlib/plots.py", "serlib/report.py"],
        claims="data/claims.csv",
    output:
        executed=f"{BUILD}/18_report.ipynb",
        page=f"{BUILD}/pages/18_report.html",
    log:
        f"{BUILD}/logs/18_report.log",
    run:
        draw(output.executed, log)
        first = {run.notebook: Path(f"{BUILD}/runs/{name}/executed.ipynb") for name, run in reversed(RUNS.items())}
        to_html(first | {"18_report": Path(output.executed)}, Path(BUILD) / "pages")
        print(f"\nThe report: {output.page}\nAll notebooks as pages: {BUILD}/pages/index.html\nFigures: {FIGURES}/\n")


# make figures: what is committed in data/predictions is enough.
rule figures:
    message:
        "18_report over data/predictions"
    output:
        executed="build/figures/18_report.ipynb",
    log:
        "build/figures/18_report.log",
    run:
        draw(output.executed, log)
