"""Renders conversations with a directory's chat template.

Usage: python chat.py DIR QUESTION.json ANSWER.json

QUESTION.json is a list of lists of messages; ANSWER.json becomes a list of [text, text with the next turn's beginning].
"""

import json
import sys
from pathlib import Path

from transformers import PreTrainedTokenizerFast


def main() -> None:
    folder, question, answer = map(Path, sys.argv[1:])
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    conversations = json.loads(question.read_text())
    rendered = [
        [tokenizer.apply_chat_template(one, tokenize=False, add_generation_prompt=prompt) for prompt in (False, True)]
        for one in conversations
    ]
    answer.write_text(json.dumps(rendered))


if __name__ == "__main__":
    main()
