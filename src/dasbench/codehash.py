"""A hash of the code that a script can run: its own and that of all it imports from the package.

The hash is over syntax trees without docstrings, so comments, docstrings and layout do not count,
and over paths relative to the repository, so the folder of a clone does not count either. Imports
are followed statically, also inside functions, and only within ``src/dasbench`` and among the
scripts themselves. A module named by a string (the registry's entries) is not followed: whoever
uses one passes its name as a further file. ``if TYPE_CHECKING:`` never runs and does not count.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dasbench.errors import UserError

PACKAGE = "dasbench"


class Source(NamedTuple):
    """What matters of one file.

    Attributes:
        digest: Hash of the syntax tree.
        imports: Per import statement: (level, module, imported names); level counts the dots.
    """

    digest: str
    imports: tuple[tuple[int, str, tuple[str, ...]], ...]


def code_hash(root: str | Path, *files: str) -> str:
    """Hash the import closure of scripts and modules.

    Args:
        root: Folder of the repository.
        files: Paths relative to root (``scripts/train_base.py``) or module names
            (``dasbench.methods.similarity``).

    Returns:
        16 hexadecimal digits; the same for the same code, whatever the order of ``files``.

    Raises:
        UserError: If a file does not exist, or does not parse.
    """
    hashed = hashlib.sha256()
    for path, source in sorted(closure(root, *files).items()):
        hashed.update(f"{path}\0{source.digest}\n".encode())
    return hashed.hexdigest()[:16]


def closure(root: str | Path, *files: str) -> dict[str, Source]:
    """All files that ``files`` import, themselves included: path relative to root -> source."""
    root = Path(root)
    waiting = [path for file in files for path in _named(root, file)]
    found: dict[str, Source] = {}
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = _read(root, path)
            waiting += _imported(root, path, found[path])
    return found


def _named(root: Path, file: str) -> list[str]:
    """The files behind a script or module that the caller named."""
    if file.endswith(".py"):
        return [file]
    paths = list(_module_files(root, file))
    stem = "src/" + file.replace(".", "/")
    if not {f"{stem}.py", f"{stem}/__init__.py"} & set(paths):
        raise UserError(f"{file} is not a module under src/{PACKAGE}; check the registry's entry")
    return paths


def _read(root: Path, path: str) -> Source:
    try:
        return _parse((root / path).read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist, but a rule runs or imports it") from error
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path} is not valid Python: {error}") from error


@functools.cache
def _parse(content: bytes) -> Source:
    """Parse a file once per process and content."""
    tree = _Stripped().visit(ast.parse(content))
    digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return Source(digest, tuple(_imports(tree)))


class _Stripped(ast.NodeTransformer):
    """Drop docstrings and what only type checkers read."""

    def visit(self, node: ast.AST) -> ast.AST | None:
        """Visit statements only: docstrings and imports stand nowhere else."""
        if isinstance(node, ast.expr):
            return node
        return super().visit(node)

    def _body(self, node: ast.AST) -> ast.AST:
        first = node.body[0] if node.body else None
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)

    visit_Module = visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _body

    def visit_If(self, node: ast.If) -> ast.AST:  # noqa: N802 (named by ast)
        """Replace ``if TYPE_CHECKING:`` by its else branch."""
        name = node.test.attr if isinstance(node.test, ast.Attribute) else node.test
        name = name.id if isinstance(name, ast.Name) else name
        if name == "TYPE_CHECKING":
            node.body = [ast.Pass()]
        return self.generic_visit(node)


def _imports(tree: ast.AST) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", tuple(alias.name for alias in node.names)
        elif not isinstance(node, ast.expr):
            waiting += ast.iter_child_nodes(node)


def _imported(root: Path, path: str, source: Source) -> Iterator[str]:
    """Files that one file imports, as far as they are ours."""
    package = path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").split("/")
    if not path.endswith("/__init__.py"):
        package = package[:-1]
    for level, module, names in source.imports:
        base = package[: len(package) - level + 1] if level else []
        name = ".".join([*base, *([module] if module else [])])
        if name.split(".")[0] == PACKAGE:
            yield from _module_files(root, name)
            for imported in names:
                yield from _module_files(root, f"{name}.{imported}")
        else:
            yield from _sibling(root, path, name)


def _module_files(root: Path, name: str) -> Iterator[str]:
    """A module's file, after the ``__init__.py`` of the packages around it, where they exist.

    Importing ``a.b.c`` runs ``a/__init__``, ``a.b`` and ``a.b.c``.
    """
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        stem = "src/" + "/".join(parts[:end])
        for path in (f"{stem}.py", f"{stem}/__init__.py"):
            if (root / path).is_file():
                yield path


def _sibling(root: Path, path: str, name: str) -> Iterator[str]:
    """A script may import the script beside it."""
    beside = f"{path.rpartition('/')[0]}/{name.split('.')[0]}.py".removeprefix("/")
    if not path.startswith("src/") and (root / beside).is_file():
        yield beside
