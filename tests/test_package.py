"""How the package and the repository are put together."""

import ast
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

import serlib
from serlib.corpora import REPOSITORY

MAP = re.findall(r"^``(\w+)``", serlib.__doc__, re.MULTILINE)
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]


def tracked():
    listing = subprocess.run(["git", "-C", str(REPOSITORY), "ls-files"], capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [REPOSITORY / name for name in listing.stdout.splitlines() if (REPOSITORY / name).is_file()]


def imports(module):
    tree = ast.parse((REPOSITORY / "serlib" / f"{module}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("serlib."))
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield from [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "serlib":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("serlib."):
            yield node.module.split(".")[1]


def test_the_map_is_complete():
    assert sorted(MAP) == sorted(p.stem for p in (REPOSITORY / "serlib").glob("*.py") if p.stem != "__init__")


@pytest.mark.parametrize("module", MAP)
def test_arrows_point_one_way(module):
    assert set(imports(module)) <= set(MAP[: MAP.index(module)])


@pytest.mark.parametrize("module", ["corpora", "splits", "metrics"])
def test_light_modules_load_nothing_heavy(module):
    heavy = ["tensorflow", "keras", "librosa", "matplotlib", "papermill"]
    code = f"import sys, serlib.{module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_environment_says_nothing_that_pyproject_does_not():
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    python, pip, packages = environment["dependencies"]
    assert python.removeprefix("python ") == PYPROJECT["project"]["requires-python"]
    assert pip == "pip"
    (editable,) = packages["pip"]
    extra = re.fullmatch(r"-e \.\[(\w+)\]", editable)
    assert extra and extra[1] in EXTRAS


def names(requirements):
    return {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in requirements}


def test_the_lock_holds_every_dependency_with_hashes():
    blocks = re.split(r"\n(?=\S)", (REPOSITORY / "requirements.lock").read_text().strip())
    assert all("==" in block and "--hash=sha256:" in block for block in blocks)
    assert names(PYPROJECT["project"]["dependencies"] + EXTRAS["test"]) <= names(blocks)


def test_every_dependency_says_what_it_is_for():
    text = (REPOSITORY / "pyproject.toml").read_text()
    lines = re.findall(r'^    "[\w-]+[^"]*",.*$', text, re.MULTILINE)
    assert len(lines) >= 30
    assert [line for line in lines if "  # " not in line and ">=" in line] == []


def test_no_file_names_a_package_index_or_a_home_folder():
    patterns = ["--(extra-)?" + "index-url", 'https?://[^ "]+/' + 'simple([/" ]|$)', "files." + "pythonhosted"]
    patterns.append("(?<![\\w.])/(ro" + "ot|ho" + "me|wo" + "rk)/\\w")
    found = []
    for path in tracked():
        if path.suffix in {".parquet", ".png", ".safetensors"} or path.name == "test_package.py":
            continue
        found += [f"{path.name}: {p}" for p in patterns if re.search(p, path.read_text(), re.MULTILINE)]
    assert found == []


def test_no_audio_and_nothing_large_is_tracked():
    audio = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".m4a", ".npy", ".npz"}
    assert [path.name for path in tracked() if path.suffix.lower() in audio] == []
    assert [path.name for path in tracked() if path.stat().st_size > 2_000_000] == []
