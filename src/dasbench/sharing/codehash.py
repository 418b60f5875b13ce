"""A hash of the code that a script runs, independent of where that code lies.

The digest of a file covers its syntax tree without docstrings. In the tree, the digest of the
imported file replaces each import from the package. So comments, layout, the folder of a clone, and
paths and names of modules do not count. A moved or renamed module changes no hash. An edited module
changes the hash of each script that imports it, directly or not.

Imports are followed statically, also inside functions, within the package and among the scripts.
``if TYPE_CHECKING:`` never runs and does not count. The package's root ``__init__`` does not count
either: it is a table of public names, and code imports each name from its module. The hash cannot
follow a module that is named by a string: pass the file of such a module to ``code_hash``.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from dasbench.errors import UserError

PACKAGE = "dasbench"


class Import(NamedTuple):
    """One name that an import statement of the package binds.

    Attributes:
        place: Number of the group of import statements: 0 for those at the top of the module.
        label: ``@k``, the k-th imported name by first use; the name itself if it is also bound in
            another way, so that its uses can't be told apart.
        level: Number of leading dots of a relative import.
        module: The text after ``from``, or after ``import``.
        name: The imported name; "" for ``import module as name``.
    """

    place: int
    label: str
    level: int
    module: str
    name: str


class Source(NamedTuple):
    """The parts of one file that decide what it does.

    Attributes:
        digest: Hash of the syntax tree without docstrings and without imports of the package.
        imports: The imports of the package.
        others: Modules outside of the package; for a script, perhaps the script beside it.
    """

    digest: str
    imports: tuple[Import, ...]
    others: tuple[str, ...]


def code_hash(root: str | Path, *files: str | Path) -> str:
    """Hash scripts and modules with all that they import.

    Args:
        root: Folder of the repository.
        files: Paths, relative to root or absolute (``scripts/train_base.py``).

    Returns:
        16 hexadecimal digits; the same for the same code, whatever the order of ``files``.

    Raises:
        UserError: If a file does not exist, does not parse, or imports itself in a circle.
    """
    return Tree(root).code_hash(*files)


def closure(root: str | Path, *files: str | Path) -> set[str]:
    """All files whose code decides the hash of ``files``, as paths relative to root.

    Raises:
        UserError: As ``code_hash``.
    """
    tree = Tree(root)
    tree.code_hash(*files)
    return {path.relative_to(root).as_posix() for path in tree.digests}


class Tree:
    """The files below a root, each read once. Use it for many hashes while no file changes."""

    def __init__(self, root: str | Path):
        """Take the root of the repository."""
        self.root = Path(root)
        self.digests: dict[Path, str] = {}
        self.active: list[Path] = []

    def code_hash(self, *files: str | Path) -> str:
        """Hash scripts and modules, as the function ``code_hash`` does."""
        digests = (digest for file in files for digest in self._around(self.root / file))
        return _sha256("\n".join(sorted(digests)))[:16]

    def _around(self, path: Path) -> list[str]:
        """Digests of a file and of the packages around it that hold code.

        An import of ``dasbench.a.b`` also runs ``dasbench/a/__init__.py``.
        """
        home = self.root / "src" / PACKAGE
        inits = [folder / "__init__.py" for folder in path.parents if home in folder.parents]
        coded = [file for file in inits if file != path and file.is_file() and _holds_code(file)]
        return [self._digest(path), *map(self._digest, coded)]

    def _digest(self, path: Path) -> str:
        """Digest of one file and of everything that it imports."""
        if path in self.active:
            circle = [*self.active[self.active.index(path) :], path]
            names = " imports ".join(file.relative_to(self.root).as_posix() for file in circle)
            raise UserError(f"{names}, a circle; move what both need into a third module")
        if path not in self.digests:
            self.active.append(path)
            source = _read(self.root, path)
            parts = sorted(repr(part) for part in self._imported(path, source))
            self.digests[path] = _sha256("\n".join([source.digest, *parts]))
            self.active.pop()
        return self.digests[path]

    def _imported(self, path: Path, source: Source) -> Iterator[tuple]:
        """What each import binds, by content: (place, label, member or "", digests)."""
        for statement in source.imports:
            module, member = self._target(path, statement)
            yield statement.place, statement.label, member, self._around(module)
        for name in source.others:
            beside = path.parent / f"{name}.py"
            if self.root / "src" not in path.parents and beside.is_file():
                yield 0, name, "", [self._digest(beside)]

    def _target(self, path: Path, statement: Import) -> tuple[Path, str]:
        """The file of the imported module, and the imported member of it, or ""."""
        parts = [PACKAGE, *statement.module.split(".")[1:]] if not statement.level else []
        if statement.level:
            package = path.relative_to(self.root / "src").parts[:-1]
            parts = [*package[: len(package) - statement.level + 1]]
            parts += statement.module.split(".") if statement.module else []
        name = statement.name
        module = self._file([*parts, name]) if name else self._file(parts)
        member = "" if module else name
        module = module or self._file(parts)
        if module is None:
            shown = ".".join([*parts, name]).rstrip(".")
            raise UserError(f"{path.relative_to(self.root)} imports {shown}, which does not exist")
        if module == self.root / "src" / PACKAGE / "__init__.py":
            raise UserError(
                f"{path.relative_to(self.root)} imports {name or PACKAGE} from the package's root; "
                "import it from the module that defines it"
            )
        return module, member

    def _file(self, parts: Iterable[str]) -> Path | None:
        stem = self.root.joinpath("src", *parts)
        for file in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
            if file.is_file():
                return file
        return None


def _read(root: Path, path: Path) -> Source:
    try:
        return _parse(path.read_bytes())
    except FileNotFoundError as error:
        name = path.relative_to(root)
        raise UserError(f"{name} does not exist, but a rule runs or imports it") from error
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path.relative_to(root)} is not valid Python: {error}") from error


def _holds_code(path: Path) -> bool:
    return _is_code(path.read_bytes())


@functools.cache
def _is_code(content: bytes) -> bool:
    """Whether a file holds more than comments and a docstring."""
    body = _Stripped().visit(ast.parse(content)).body
    return any(not isinstance(node, ast.Pass) for node in body)


@functools.cache
def _parse(content: bytes) -> Source:
    """Parse a file once per process and content."""
    tree = _Stripped().visit(ast.parse(content))
    collected = _Imports(tree)
    tree = collected.visit(tree)
    uses = _Uses(collected.names)
    uses.visit(tree)
    imports = [item._replace(label=uses.labels.get(item.label, item.label)) for item in collected]
    return Source(_sha256(ast.dump(tree)), tuple(imports), tuple(sorted(collected.others)))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class _Stripped(ast.NodeTransformer):
    """Drop docstrings, and code that only type checkers read."""

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


class _Imports(ast.NodeTransformer):
    """Take the imports of the package out of a tree.

    Imports at the top of the module are one group. Inside a function, import statements in a row
    are a group. A formatter may split and sort the statements of a group without an effect.

    Attributes:
        names: Names that only these imports bind in the file.
        others: First parts of other modules that are imported by name.
    """

    def __init__(self, tree: ast.AST):
        self.found: list[Import] = []
        self.others: set[str] = set()
        self.groups = 0
        bound = set(_bound(tree))
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom) and _is_ours(node)
            for alias in node.names
        }
        self.names = imported - bound

    def __iter__(self) -> Iterator[Import]:
        return iter(self.found)

    def visit(self, node: ast.AST) -> ast.AST:
        """Replace the imports in each list of statements of a node."""
        if isinstance(node, ast.Import):
            self.others |= {alias.name for alias in node.names}
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            statements = getattr(node, field, None)
            if isinstance(statements, list):
                setattr(node, field, self._without(statements, isinstance(node, ast.Module)))
        return node

    def _without(self, statements: list[ast.AST], top: bool) -> list[ast.AST]:
        kept: list[ast.AST] = []
        in_group = False
        for node in statements:
            ours = isinstance(node, ast.Import | ast.ImportFrom) and _is_ours(node)
            if ours and not top and not in_group:
                self.groups += 1
                kept.append(ast.Expr(ast.Constant(f"imports {self.groups}")))
            if ours:
                self.found += _items(node, 0 if top else self.groups)
            else:
                kept.append(self.visit(node))
            in_group = ours
        return kept


def _is_ours(node: ast.Import | ast.ImportFrom) -> bool:
    if isinstance(node, ast.ImportFrom):
        return bool(node.level) or (node.module or "").split(".")[0] == PACKAGE
    return any(alias.name.split(".")[0] == PACKAGE for alias in node.names)


def _items(node: ast.Import | ast.ImportFrom, place: int) -> Iterator[Import]:
    """One entry for each name of a statement; ``label`` is the name until ``_Uses`` replaces it.

    Raises:
        ValueError: If the statement binds names that can't be told from it.
    """
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            if alias.name == "*":
                raise ValueError(f"line {node.lineno} imports *; name what it imports")
            label = alias.asname or alias.name
            yield Import(place, label, node.level, node.module or "", alias.name)
        elif alias.asname is None or alias.name.split(".")[0] != PACKAGE:
            raise ValueError(f"line {node.lineno}; write `from {PACKAGE} import ...`, alone")
        else:
            yield Import(place, alias.asname, 0, alias.name, "")


class _Uses(ast.NodeTransformer):
    """Rename imported names to ``@k``, k in the order of their first use."""

    def __init__(self, names: Iterable[str]):
        self.names = frozenset(names)
        self.labels: dict[str, str] = {}

    def visit_Name(self, node: ast.Name) -> ast.Name:  # noqa: N802 (named by ast)
        if node.id in self.names:
            node.id = self.labels.setdefault(node.id, f"@{len(self.labels)}")
        return node


def _bound(tree: ast.AST) -> Iterator[str]:
    """Names that a file binds in another way than by an import from the package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names
        elif isinstance(node, ast.Import | ast.ImportFrom) and not _is_ours(node):
            yield from ((a.asname or a.name).split(".")[0] for a in node.names)
