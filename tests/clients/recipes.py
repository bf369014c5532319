"""Runs the recipes of a document as they are printed, in one shell, and compares what they say with what is printed.

    python recipes.py ../../docs/operations.md

A recipe is a ```sh block between the marks of the section, and the block after it is its answer: JSON, or lines of text.
Whatever changes from day to day is written as … there; everything else has to be the same.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SECTION = re.compile(r"<!-- recipes: begin -->(.*)<!-- recipes: end -->", re.S)
RECIPE = re.compile(r"^### (?P<title>.+?)\n.*?^```sh\n(?P<script>.*?)^```\n+^```(?P<kind>json|text)\n(?P<answer>.*?)^```", re.M | re.S)
LEAST = 10


def matches(pattern, text):
    """… stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("…"))), text, re.S) is not None


def differences(expected, found, path="answer"):
    """Where two answers differ, in words."""
    if isinstance(expected, str) and "…" in expected and isinstance(found, str):
        return [] if matches(expected, found) else [f"{path}: {expected!r} does not stand for {found!r}"]
    if type(expected) is not type(found):
        return [f"{path}: {expected!r} is printed, {found!r} was said"]
    if isinstance(expected, dict):
        missing = [f"{path}.{key} was not said" for key in expected.keys() - found.keys()]
        new = [f"{path}.{key} is not printed" for key in found.keys() - expected.keys()]
        common = [line for key in expected.keys() & found.keys() for line in differences(expected[key], found[key], f"{path}.{key}")]
        return sorted(missing + new + common)
    if isinstance(expected, list):
        if len(expected) != len(found):
            return [f"{path}: {len(expected)} are printed, {len(found)} were said"]
        return [line for i, (a, b) in enumerate(zip(expected, found)) for line in differences(a, b, f"{path}[{i}]")]
    return [] if expected == found else [f"{path}: {expected!r} is printed, {found!r} was said"]


def compare(kind, expected, found):
    if kind == "text":
        return [] if matches(expected.strip(), found.strip()) else [f"printed:\n{expected}said:\n{found}"]
    try:
        return differences(json.loads(expected), json.loads(found))
    except json.JSONDecodeError as error:
        return [f"no JSON ({error}): {found}"]


def main(document):
    section = SECTION.search(Path(document).read_text(encoding="utf-8"))
    recipes = [match.groupdict() for match in RECIPE.finditer(section.group(1))] if section else []
    blocks = section.group(1).count("```sh\n") if section else 0
    if len(recipes) < LEAST or len(recipes) != blocks:
        sys.exit(f"{document}: {len(recipes)} recipes with an answer of {blocks}; there should be {LEAST} at least")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        steps = ["set -euo pipefail"]
        for i, recipe in enumerate(recipes):
            Path(folder, f"{i}.sh").write_text(recipe["script"], encoding="utf-8")
            # In the same shell: a recipe uses what an earlier one has set.
            steps.append(f'. "{folder}/{i}.sh" >"{folder}/{i}.said"')
        ran = subprocess.run(["bash", "-c", "\n".join(steps)], stderr=subprocess.PIPE, text=True, check=False)
        for i, recipe in enumerate(recipes):
            said = Path(folder, f"{i}.said")
            text = said.read_text(encoding="utf-8") if said.exists() else ""
            wrong = compare(recipe["kind"], recipe["answer"], text)
            failed += bool(wrong)
            print(f"{'FAILED' if wrong else 'ok    '} {recipe['title']}")
            print("".join(f"       {line}\n" for line in wrong), end="")
    if ran.returncode:
        sys.exit(f"a recipe ended with {ran.returncode}: {ran.stderr}")
    if failed:
        sys.exit(f"{failed} of {len(recipes)} recipes do not say what is printed")


if __name__ == "__main__":
    main(*sys.argv[1:])
