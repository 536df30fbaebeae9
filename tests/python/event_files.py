"""What the Python package tensorboard reads in a folder of event files.

    event_files.py QUESTION ANSWER

QUESTION is {"folder": PATH}. ANSWER is {"scalars": {TAG: [[STEP, VALUE], ...]}, "texts": {TAG: [[STEP, TEXT], ...]}}.
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util


def main():
    question_path, answer_path = sys.argv[1:]
    with open(question_path, encoding="utf-8") as file:
        question = json.load(file)
    # 0 keeps all events of a tag.
    accumulator = EventAccumulator(question["folder"], size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()
    tags = accumulator.Tags()
    scalars = {tag: [[event.step, event.value] for event in accumulator.Scalars(tag)] for tag in tags["scalars"]}
    texts = {}
    for tag in tags["tensors"]:
        plugin = accumulator.SummaryMetadata(tag).plugin_data.plugin_name
        assert plugin == "text", (tag, plugin)
        events = accumulator.Tensors(tag)
        texts[tag] = [[event.step, tensor_util.make_ndarray(event.tensor_proto)[0].decode()] for event in events]
    with open(answer_path, "w", encoding="utf-8") as file:
        json.dump({"scalars": scalars, "texts": texts}, file)


if __name__ == "__main__":
    main()
