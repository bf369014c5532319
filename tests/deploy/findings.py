"""What a check has found: all of it, and the exit code in the end."""

import sys


class Findings:
    def __init__(self):
        self.found = []

    def require(self, condition, text):
        """Notes the text unless the condition holds, and answers whether it does."""
        if not condition:
            self.found.append(text)
        return bool(condition)

    def end(self, what):
        for text in self.found:
            print(f"FAIL {text}", file=sys.stderr)
        if self.found:
            sys.exit(f"{what}: {len(self.found)} problem(s)")
        print(f"{what}: good")
