"""Runs inside an image, as text given to its Python: says what is there. Standard library only, Python 3.8 or newer.

Reads one JSON object from standard input: `imports` (distribution names whose modules must import), `modules` (modules
that must import), `commands` (lists of words). Writes one JSON object after a line that is `MARK`.
"""

import importlib.metadata
import json
import re
import subprocess
import sys

MARK = "--- xaiva smoke ---"
IMPORT_SECONDS = 300
TORCH = "import json, torch; print(json.dumps({'arch': torch._C._cuda_getArchFlags(), 'cuda': torch.version.cuda}))"


def plain(name):
    """A distribution's name as an index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def run(words):
    """Exit status and the end of the output of one command; a child, because a broken extension may crash."""
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=IMPORT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"code": -1, "output": str(error)}
    return {"code": done.returncode, "output": done.stdout.decode("utf-8", "replace")[-2000:]}


def modules_of(distribution):
    """The modules a distribution brings, private ones left out."""
    top = (distribution.read_text("top_level.txt") or "").split()
    if not top:
        files = distribution.files or []
        top = [f.parts[0] for f in files if len(f.parts) == 2 and f.name == "__init__.py"]
        top += [f.name[:-3] for f in files if len(f.parts) == 1 and f.suffix == ".py"]
        top += [f.name.split(".")[0] for f in files if len(f.parts) == 1 and f.suffix == ".so"]
    return sorted({m.replace("/", ".") for m in top if m.isidentifier() and not m.startswith("_") and m != "tests"})


def main():
    """Look, and say."""
    asked = json.load(sys.stdin)
    found = {plain(d.metadata["Name"]): d for d in importlib.metadata.distributions() if d.metadata["Name"]}
    answer = {
        "python": sys.version.split()[0],
        "versions": {name: d.version for name, d in found.items()},
        "imports": {},
        "commands": [run(words) for words in asked["commands"]],
    }
    wanted = {name: modules_of(found[name]) for name in asked["imports"] if name in found}
    wanted.update({module: [module] for module in asked["modules"]})
    for name, modules in wanted.items():
        for module in modules:
            code = (
                "import importlib, sys; m = importlib.import_module(sys.argv[1]); print(getattr(m, '__version__', ''))"
            )
            answer["imports"][module] = {"of": name, **run([sys.executable, "-I", "-c", code, module])}
    if "torch" in found:
        answer["torch"] = run([sys.executable, "-I", "-c", TORCH])
    print("\n" + MARK + "\n" + json.dumps(answer))


main()
