"""The runner as one file, which travels with the folder."""

from __future__ import annotations

import ast
from importlib import resources

_PACKAGE = "exeunt.runner"
_MODULES = (  # each after those that it imports
    *("error", "array", "policy", "preprocessing", "document", "schema", "manifest"),
    *("engine", "stem", "chain", "model", "command"),
)
_END = """if __name__ == "__main__":
    sys.exit(main(Path(__file__).parent, sys.argv[1:]))
"""


def runner_script() -> str:
    """The modules of `exeunt.runner` behind each other, without imports of each other."""
    plain, named, bodies = set[str](), dict[str, set[str]](), []
    for name in _MODULES:
        text = _source(name)
        tree = ast.parse(text)
        end = 0
        for node in tree.body:
            if isinstance(node, ast.Import):
                plain.update(map(ast.unparse, (ast.Import([alias]) for alias in node.names)))
            elif isinstance(node, ast.ImportFrom):
                names = named.setdefault(str(node.module), set())
                names.update(ast.unparse(alias) for alias in node.names)
            else:
                continue
            end = node.end_lineno or 0
        title = "\n".join(f"# {line}".rstrip() for line in str(ast.get_docstring(tree)).split("\n"))
        body = "\n".join(text.splitlines()[end:]).strip()
        bodies.append(f"{title}\n\n{body}")
    froms = [
        f"from {module} import {', '.join(sorted(names))}"
        for module, names in sorted(named.items())
        if module != "__future__" and not module.startswith(_PACKAGE)
    ]
    about = f'"""{ast.get_docstring(ast.parse(_source("__init__")))}\n"""'
    head = [about, "from __future__ import annotations", "\n".join([*sorted(plain), *froms])]
    return "\n\n".join(head) + "\n\n\n" + "\n\n\n".join([*bodies, _END])


def _source(name: str) -> str:
    return (resources.files(_PACKAGE) / f"{name}.py").read_text(encoding="utf-8")
