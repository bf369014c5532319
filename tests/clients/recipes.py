"""Runs the recipes of a document as they are printed, in one shell, and compares what they say with what is printed.

    python recipes.py ../../docs/operations.md
    python recipes.py ../../docs/operations.md --section "first hour" --instead 127.0.0.1:9090=127.0.0.1:12345

A recipe is a ```sh block between the marks of the section, and the block after it is its answer: JSON, or lines of text.
Whatever changes from day to day is written as … there; everything else has to be the same. `--instead` replaces a text in all
scripts, such as an address, and what takes its place is replaced back in what they say.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

SECTION = r"<!-- {0}: begin -->(.*)<!-- {0}: end -->"
RECIPE = re.compile(r"^### (?P<title>.+?)\n.*?^```sh\n(?P<script>.*?)^```\n+^```(?P<kind>json|text)\n(?P<answer>.*?)^```", re.M | re.S)
LEAST = 10
# Seconds that all recipes of a section may take.
LONGEST = 300


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


def run(script):
    """Runs a script with everything that it starts, and ends what is left of it."""
    with subprocess.Popen(["bash", "-c", script], stderr=subprocess.PIPE, text=True, start_new_session=True) as shell:
        try:
            _, errors = shell.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            errors = f"it was not over after {LONGEST} s"
        finally:
            try:
                os.killpg(shell.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    return shell.returncode, errors


def arguments():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("document")
    parser.add_argument("--section", default="recipes")
    parser.add_argument("--instead", action="append", default=[], metavar="PRINTED=USED")
    return parser.parse_args()


def main(args):
    document, instead = args.document, [pair.split("=", 1) for pair in args.instead]
    section = re.search(SECTION.format(args.section), Path(document).read_text(encoding="utf-8"), re.S)
    recipes = [match.groupdict() for match in RECIPE.finditer(section.group(1))] if section else []
    blocks = section.group(1).count("```sh\n") if section else 0
    if len(recipes) < LEAST or len(recipes) != blocks:
        sys.exit(f"{document}: {len(recipes)} recipes with an answer of {blocks}; there should be {LEAST} at least")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        steps = ["set -euo pipefail"]
        for i, recipe in enumerate(recipes):
            script = recipe["script"]
            for printed, used in instead:
                script = script.replace(printed, used)
            Path(folder, f"{i}.sh").write_text(script, encoding="utf-8")
            # In the same shell: a recipe uses what an earlier one has set.
            steps.append(f'. "{folder}/{i}.sh" >"{folder}/{i}.said"')
        code, errors = run("\n".join(steps))
        for i, recipe in enumerate(recipes):
            said = Path(folder, f"{i}.said")
            text = said.read_text(encoding="utf-8") if said.exists() else ""
            for printed, used in instead:
                text = text.replace(used, printed)
            wrong = compare(recipe["kind"], recipe["answer"], text)
            failed += bool(wrong)
            print(f"{'FAILED' if wrong else 'ok    '} {recipe['title']}")
            print("".join(f"       {line}\n" for line in wrong), end="")
    if code:
        sys.exit(f"a recipe ended with {code}: {errors}")
    if failed:
        sys.exit(f"{failed} of {len(recipes)} recipes do not say what is printed")


if __name__ == "__main__":
    main(arguments())
