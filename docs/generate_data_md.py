#!/usr/bin/env python3
"""Rewrites the part of docs/DATA.md that describes the tables of SQL models, from the headers of sql/<schema>/<table>.sql.

    python3 docs/generate_data_md.py           rewrite docs/DATA.md
    python3 docs/generate_data_md.py --check   exit with 1 if docs/DATA.md is not up to date

Only the lines between the two markers change. The header is the contract that the engine enforces; this makes it readable.
"""

import pathlib
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA_MD = ROOT / "docs" / "DATA.md"
BEGIN, END = "<!-- models: begin -->", "<!-- models: end -->"
# In the order of a record's journey.
SCHEMAS = {
    "staging": "Every event once, every record as it is now.",
    "identity": "Which identifiers are one person.",
    "profile": "One row per person, and where each value comes from.",
    "behavior": "What people did.",
    "segment": "Who is in which segment, and since when. Entries, exits and sizes are history: `tessera refresh --full` computes\nthe members anew and keeps those.",
}
# What a header cannot say: it lists only columns of a fixed name.
MORE_COLUMNS = {
    "behavior.events": "After these come all columns of `staging.events`.",
    "profile.profiles": "After these comes a column for each attribute, sorted by name: text, or what its `[[attribute]]` makes of it. If there are\nmore than 200, it is the most frequent 200 and those that traits or segments name; all are in `profile.attributes`. Then come\nthe project's traits.",
}
KEYS = ("key", "strategy", "fold", "replaces", "unique")
STRATEGIES = {
    "view": "View: not stored, computed when read",
    "full": "Delta table, `full`: written anew whenever something that it reads changed",
    "step": "Delta table, `step`: what later models of the same refresh need",
    "scratch": "Delta table, `scratch`: what later models of the same refresh need; empty after a full refresh",
    "history": "Delta table, `history`: grows by what happened in each refresh, also in full ones",
    "append": "Delta table, `append`: rows are only added",
    "fold": "Delta table, `fold`: rows are added, and several rows of one key are to be folded when read",
    "merge": "Delta table, `merge`: a refresh replaces the rows of the keys that it touched",
}


def read_header(path):
    """The words, the keys and the columns (name, type, meaning) of a model's header."""
    words, keys, columns, in_columns = [], {}, [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("--"):
            break
        line = line[2:].removeprefix(" ")
        key, colon, value = line.partition(":")
        if in_columns and line.startswith("  "):
            columns.append(line.split(None, 2))
        elif colon and key in KEYS:
            keys[key] = value.strip()
        elif line.strip() == "columns:":
            in_columns = True
        else:
            words.append(line)
    return " ".join(" ".join(words).split()), keys, columns


def code_list(text):
    return ", ".join(f"`{part.strip()}`" for part in text.split(","))


def section(schema, path):
    """The Markdown of one table."""
    words, keys, columns = read_header(path)
    lines = [f"### `{schema}.{path.stem}`", "", textwrap.fill(words, 120, break_on_hyphens=False), ""]
    if "key" in keys:
        lines.append(f"* Key: {code_list(keys['key'])}")
    lines.append(f"* {STRATEGIES[keys.get('strategy', 'full')]}")
    if "fold" in keys:
        lines.append(f"* To fold: {code_list(keys['fold'])}, grouped by the key")
    if "replaces" in keys:
        lines.append(f"* Rows that a refresh replaces: `{keys['replaces']}`")
    lines += [f"* Made by [`sql/{schema}/{path.name}`](../sql/{schema}/{path.name})", ""]
    lines += ["| column | type | meaning |", "|---|---|---|"]
    for name, kind, *meaning in columns:
        lines.append(f"| `{name}` | {kind} | {' '.join(meaning).replace('|', chr(92) + '|')} |")
    more = MORE_COLUMNS.get(f"{schema}.{path.stem}")
    return lines + ([""] + [more] if more else []) + [""]


def models():
    lines = []
    for schema, words in SCHEMAS.items():
        lines += [f"## `{schema}`", "", words, ""]
        for path in sorted((ROOT / "sql" / schema).glob("*.sql")):
            lines += section(schema, path)
    return "\n".join(lines)


def main():
    text = DATA_MD.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{DATA_MD} does not have the lines `{BEGIN}` and `{END}`")
    fresh = f"{head}{BEGIN}\n\n{models()}\n{END}{tail}"
    if fresh == text:
        return
    if "--check" in sys.argv[1:]:
        sys.exit("docs/DATA.md is not up to date: run `python3 docs/generate_data_md.py`")
    DATA_MD.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
