"""Which code a run executes: a hash of a notebook and of all it reaches in serlib, deaf to prose and drawing."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from serlib.corpora import REPOSITORY

#: Modules that read what runs have written, or draw, and this one, which names them: they change no prediction, so a
#: new colour does not cost hours. (Notebooks 11, 12 and 15 write scores by `scoring` beside their predictions: whoever
#: changes how that counts has to make their runs again.)
DOWNSTREAM = frozenset(
    {"cards", "claims", "figures", "findings", "measured", "pages", "plots", "provenance", "reliability", "scoring"}
)

#: Tag of cells that wait for the learner's answer, after all that a run writes.
EXERCISE = "exercise"


@dataclass
class _Module:
    """The top level of one module: what each name is defined by, and what is imported under which name.

    Attributes
    ----------
    definitions : dict of str to list of ast.AST
    imported : dict of str to (module, name or None)
        Of serlib alone; anywhere in the module, functions included. No name: the module itself.
    effects : list of ast.AST
        Statements that take place whenever the module is imported, and may define names too.
    """

    definitions: dict[str, list[ast.AST]] = field(default_factory=dict)
    imported: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    effects: list[ast.AST] = field(default_factory=list)


def sources() -> dict[str, str]:
    """Text of every notebook and module by file name, as they are now."""
    paths = [*(REPOSITORY / "notebooks").glob("*.ipynb"), *(REPOSITORY / "serlib").glob("*.py")]
    return {path.name: path.read_text() for path in paths}


def code_hash(notebook: str, texts: Mapping[str, str]) -> str:
    """Sixteen hex digits that change when code does that a notebook's run executes.

    That is its own cells but those of exercises and, followed from name to name, every function, class and constant of
    serlib that they reach. Comments, docstrings, layout, markdown and the modules `DOWNSTREAM` do not count, nor does a
    new function that no cell reaches. A module that is used other than as ``module.name`` counts whole.

    Parameters
    ----------
    notebook : str
        Stem of its file name.
    texts : mapping of str to str
        From `sources`.

    Raises
    ------
    ValueError
        There is no such notebook, or a cell or a module cannot be parsed or followed; the message names it.
    """
    if f"{notebook}.ipynb" not in texts:
        raise ValueError(f"there is no notebook {notebook}.ipynb")
    cells = json.loads(texts[f"{notebook}.ipynb"])["cells"]
    executed = [c for c in cells if c["cell_type"] == "code" and EXERCISE not in c["metadata"].get("tags", [])]
    code = "\n".join("".join(cell["source"]) for cell in executed)
    of_notebook = _module(code, f"{notebook}.ipynb")
    own = [node for nodes in of_notebook.definitions.values() for node in nodes] + of_notebook.effects
    pending = [reference for node in own for reference in _references(node, of_notebook, None)]
    reached: dict[tuple[str, str], list[ast.AST]] = {}
    while pending:
        module, name = pending.pop()
        if (module, name) in reached or module in DOWNSTREAM or f"{module}.py" not in texts:
            continue
        source = _module(texts[f"{module}.py"], f"{module}.py")
        reached[module, name] = source.effects if name == "" else source.definitions.get(name, [])
        if name in source.imported:  # a name passed on
            pending.append(_target(source.imported[name]))
        if name == "*":
            pending += [(module, known) for known in source.definitions]
        pending += [(module, ""), *(r for node in reached[module, name] for r in _references(node, source, module))]
    parts = [_canonical(node) for node in ast.parse(code).body]
    parts += [
        f"{module}.{name}: {_canonical(nodes)}"
        for (module, name), nodes in sorted(reached.items(), key=lambda item: item[0])
        if nodes
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@functools.lru_cache(maxsize=256)
def _module(text: str, name: str) -> _Module:
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f"{name} cannot be parsed: {error}") from error
    found = _Module()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            raise ValueError(f"{name}: a relative import cannot be followed; write `from serlib import …`")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "serlib":
            inner = (node.module or "").partition(".")[2]
            for alias in node.names:
                if alias.name == "*":
                    raise ValueError(f"{name}: what a star imports cannot be followed")
                found.imported[alias.asname or alias.name] = (inner, alias.name) if inner else (alias.name, None)
        elif isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "serlib" for alias in node.names):
            raise ValueError(f"{name}: `import serlib…` cannot be followed; write `from serlib import …`")
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom) or _is_docstring(node) or _is_for_types(node):
            continue
        names = list(_defined(node))
        for defined in names:
            found.definitions.setdefault(defined, []).append(node)
        if not names or isinstance(node, ast.For | ast.While | ast.With | ast.If | ast.Try):
            found.effects.append(node)
    return found


def _defined(node: ast.AST) -> Iterator[str]:
    """Names that a top-level statement binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            yield inner.id
        elif isinstance(inner, ast.FunctionDef | ast.ClassDef):
            yield inner.name


def _references(node: ast.AST, source: _Module, module: str | None) -> Iterator[tuple[str, str]]:
    """What of serlib a statement names: (module, name), ``""`` for its effects alone, ``"*"`` for all of it."""
    bases = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
            of, name = source.imported.get(inner.value.id, (None, None))
            if of is not None and name is None:
                bases.add(inner.value)
                yield of, inner.attr
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load) and inner not in bases:
            if inner.id in source.imported:
                yield _target(source.imported[inner.id])
            elif module is not None and inner.id in source.definitions:
                yield module, inner.id


def _target(imported: tuple[str, str | None]) -> tuple[str, str]:
    module, name = imported
    return module, name or "*"


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _canonical(node) -> str:
    """A syntax tree as text: without docstrings and positions, and the same under every version of Python."""
    if isinstance(node, list):
        return f"[{','.join(_canonical(child) for child in node if not _is_docstring(child))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, []) and name != "kind"]
    return f"{type(node).__name__}({','.join(f'{name}={_canonical(value)}' for name, value in fields)})"


def commit() -> str | None:
    """The commit the code is at, with ``+`` where tracked files differ from it; None outside a git checkout."""
    git = ["git", "-C", str(REPOSITORY)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "serlib", "notebooks"], check=False)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changed.returncode else "")
