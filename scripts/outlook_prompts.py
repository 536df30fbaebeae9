"""Writes the sentences of examples/data/outlook as prompts with choices, the form that decoders learn from.

    python scripts/outlook_prompts.py DIRECTORY
"""

import csv
import json
import pathlib
import sys

SOURCE = pathlib.Path(__file__).parent.parent / "examples" / "data" / "outlook"
CHOICES = [" negative", " neutral", " positive"]


def main(directory):
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for part in ("train", "dev", "test"):
        with open(SOURCE / f"{part}.tsv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        with open(directory / f"{part}.jsonl", "w", encoding="utf-8") as out:
            for row in rows:
                prompt = f"Sentence: {row['sentence']}\nWhat the writer thinks:"
                line = {"prompt": prompt, "choices": CHOICES, "answer": CHOICES.index(" " + row["label"])}
                out.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} DIRECTORY")
    main(sys.argv[1])
