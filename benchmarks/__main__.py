"""Run the benchmarks: `python -m benchmarks [name …]`; exits with 1 if one misses its budget."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all of them; return 1 if any fails."""
    modules = sorted(
        module.name for module in pkgutil.iter_modules(benchmarks.__path__) if not module.name.startswith("_")
    )
    known = [name for name in modules if hasattr(importlib.import_module(f"benchmarks.{name}"), "main")]
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    failed = []
    for name in names or known:
        print(f"== {name}", flush=True)
        if importlib.import_module(f"benchmarks.{name}").main():
            failed.append(name)
    if failed:
        print(f"missed a budget: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
