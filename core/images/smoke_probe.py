"""The part of the smoke test that runs inside the image, as text given to its Python: reports what is installed.

Standard library only, Python 3.8 or newer.

Its argument is one JSON object: `imports` (distribution names whose modules must import), `modules` (modules that must
import), `commands` (lists of words). Writes one JSON object after a line that is `OUTPUT_MARKER`.
"""

import importlib.metadata
import json
import re
import signal
import subprocess
import sys
from typing import Any, Dict, List  # noqa: UP035 - runs on the image's own, older Python

OUTPUT_MARKER = "--- xaiva smoke ---"
SECONDS = 300  # for one import or command
IMPORT = "import importlib, sys; m = importlib.import_module(sys.argv[1]); print(getattr(m, '__version__', ''))"
TORCH = "import json, torch; print(json.dumps({'arch': torch._C._cuda_getArchFlags(), 'cuda': torch.version.cuda}))"


def canonical_name(name: str) -> str:
    """A distribution's normalized name, as in a package index."""
    return re.sub(r"[-_.]+", "-", name).lower()


def run_command(words: List[str], title: str = "") -> Dict[str, Any]:  # noqa: UP006
    """Exit status and end of the output of one command, run as a child because a broken extension may crash."""
    sys.stderr.write((title or " ".join(words)) + "\n")
    sys.stderr.flush()
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"code": -1, "output": str(error)}
    return {"code": done.returncode, "output": done.stdout.decode("utf-8", "replace")[-2000:]}


def run_python(title: str, *words: str) -> Dict[str, Any]:  # noqa: UP006
    """Run code with the same Python, isolated from its surroundings; `title` is printed first."""
    return run_command([sys.executable, "-I", "-c", *words], title)


def modules_of(distribution: Any) -> List[str]:  # noqa: UP006
    """The top-level modules of a distribution, without private ones."""
    files = distribution.files or []
    installed = {f.parts[0].split(".")[0] for f in files}
    # Some distributions list modules that they do not install: TensorFlow lists `third_party`.
    top = [name for name in (distribution.read_text("top_level.txt") or "").split() if name in installed]
    if not top:
        top = [f.parts[0] for f in files if len(f.parts) == 2 and f.name == "__init__.py"]
        top += [f.name[:-3] for f in files if len(f.parts) == 1 and f.suffix == ".py"]
        top += [f.name.split(".")[0] for f in files if len(f.parts) == 1 and f.suffix == ".so"]
    return sorted({m for m in top if m.isidentifier() and not m.startswith("_") and m != "tests"})


def main() -> None:
    """Read the request from the argument and print the answer."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # process 1 of a container ignores signals without a handler
    request = json.loads(sys.argv[1])
    sys.stderr.write("list what is installed\n")
    distributions = {
        canonical_name(d.metadata["Name"]): d for d in importlib.metadata.distributions() if d.metadata["Name"]
    }
    modules = [
        module for name in request["imports"] if name in distributions for module in modules_of(distributions[name])
    ]
    answer = {
        "python": sys.version.split()[0],
        "versions": {name: d.version for name, d in distributions.items()},
        "imports": {
            module: run_python("import " + module, IMPORT, module)
            for module in dict.fromkeys(modules + request["modules"])
        },
        "commands": [run_command(words) for words in request["commands"]],
    }
    if "torch" in distributions:
        answer["torch"] = run_python("the architectures of torch", TORCH)
    sys.stdout.write("\n" + OUTPUT_MARKER + "\n" + json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
