"""The graph of the report is what report.yaml says, without executing anything."""

import re
import subprocess
import sys

import pytest

from serlib import runs
from serlib.corpora import REPOSITORY


def dry_run(*wanted: str) -> str:
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--forceall", "--nolock", "--cores", "2", *wanted]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def counted(text: str) -> dict[str, int]:
    """The table of jobs that Snakemake prints: rule -> how many."""
    table = text[text.index("Job stats:") :]
    return {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


@pytest.mark.parametrize("profile", ["smoke", "demo"])
def test_a_job_for_every_run_then_tables_then_pages(profile):
    jobs = counted(dry_run("--config", f"profile={profile}"))
    planned = len(runs.plan(profile))
    assert jobs.pop("run") + jobs.pop("long_run") == planned, "and the longer half begins first"
    assert jobs == {"collect": 1, "report": 1, "all": 1, "total": planned + 3}


@pytest.mark.parametrize("rule", ["figures", "paper"])
def test_what_is_drawn_of_committed_predictions_needs_no_run(rule):
    assert counted(dry_run(rule)) == {rule: 1, "total": 1}
