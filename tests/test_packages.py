"""What npgan imports is declared: nothing is there only because another package brings it."""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMES = {"PIL": "pillow"}  # import -> package, where they differ
OPTIONAL = {"cupy", "cupyx", "mpi4py", "threadpoolctl", "IPython"}  # used where they are there


def test_every_import_of_the_package_is_a_declared_dependency():
    text = (ROOT / "pyproject.toml").read_text()
    declared = re.search(r"^dependencies = \[(.*)\]", text, re.MULTILINE)[1]
    declared = {re.match(r"[\w-]+", name)[0].lower() for name in re.findall(r'"(.*?)"', declared)}
    imported = set()
    for path in (ROOT / "npgan").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add(node.module.split(".")[0])
    outside = imported - sys.stdlib_module_names - {"npgan"} - OPTIONAL
    assert {NAMES.get(name, name) for name in outside} == declared
