"""Token ids, loss masks and losses of conversations, prompts, sentences and pairs of them, by transformers.

Usage: python tokens.py DIR, or python tokens.py DIR pairs for those alone

Makes model directories below DIR, each with a small tokenizer and a chat template, and DIR/cases.json: a list of
{"folder", "line", "chat", "turns", "max_tokens", "date", "ids", "mask", "loss"}, DIR/sentences.json: a list of {"folder",
"text", "ids"}; of pairs, DIR/pairs.json: a list of {"folder", "max_tokens", "pairs", "ids", "types", "logits"}. `line` is a line
of a data file, `ids` are transformers' tokens of it, `mask` says which of them the loss is taken of, and `loss` is that of
the random decoder in DIR/decoder, in f64, for those labels. The folders of pairs have a random classifier each, of which
`logits` are those of all pairs in one batch. Templates are written with `{% generation %}` around what the assistant says, which gives the
mask; each is tried with the tags and without them.
"""

import datetime
import itertools
import json
import re
import sys
from pathlib import Path

import tokenizers as tk
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer
from transformers.utils import chat_template_utils

DATE = "2026-03-05"

CORPUS = [
    "where is it? the owl lives on the hill, the fox in a cave. hello there!",
    "You are a helpful assistant. Answer in one word. user assistant system tool think",
    "What does the wren eat?\nIt eats roots and nuts.\n\nWhen does it sing? At noon.",
    '{"name": "find", "arguments": {"what": "owl", "limit": 3}} [INST] [/INST] <tool_call> </tool_call>',
    "Ünïcödé straße 東京 🔥 naïve café – “quoted” … 1234567890",
    "  indented\n    code = [1, 2, 3]\n\treturn code  ",
]
SPECIALS = ["<unk>", "<s>", "</s>"]
MARKS = ["<|im_start|>", "<|im_end|>"]


def trained(model, pre, normalizer, trainer):
    tokenizer = tk.Tokenizer(model)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre is not None:
        tokenizer.pre_tokenizer = pre
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    return tokenizer


def bytes_bpe(prefix=False, specials=()):
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=["<|endoftext|>", *specials], initial_alphabet=alphabet)
    tokenizer = trained(models.BPE(), pre_tokenizers.ByteLevel(add_prefix_space=prefix), None, trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def sentence_pieces(scheme, normalizer=None):
    """Byte-pair pieces with ▁ for spaces."""
    trainer = trainers.BpeTrainer(
        vocab_size=620, special_tokens=[*SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256))]
    )
    pre = pre_tokenizers.Metaspace(prepend_scheme="never" if scheme is None else scheme, split=True)
    tokenizer = trained(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True), pre, None, trainer)
    # Only the three are special, as in published files.
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = data["added_tokens"][:3]
    if scheme is None:
        data["pre_tokenizer"] = None
        data["normalizer"] = {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        }
    else:
        data["pre_tokenizer"]["split"] = False
    tokenizer = tk.Tokenizer.from_str(json.dumps(data))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def unigram():
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=SPECIALS, unk_token="<unk>")
    tokenizer = trained(
        models.Unigram(), pre_tokenizers.Metaspace(), normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]), trainer
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)]
    )
    return tokenizer


def token(content, **flags):
    return {"content": content, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True} | flags


def folders():
    """Name, tokenizer, tokenizer_config.json, other files, model type."""
    fast = "PreTrainedTokenizerFast"
    eos = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    end = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    yield "bytes", bytes_bpe(specials=MARKS), {"tokenizer_class": fast, **end}, {}, "llama"
    yield "prepend", sentence_pieces(None), {"tokenizer_class": fast, **eos}, {}, "llama"
    yield "first", sentence_pieces("first"), {"tokenizer_class": fast, **eos}, {}, "mistral"
    yield "always", sentence_pieces("always"), {"tokenizer_class": fast, **eos}, {}, "llama"
    yield "llama", sentence_pieces("always"), {"tokenizer_class": "LlamaTokenizer", **eos}, {}, "llama"
    legacy = {"tokenizer_class": "LlamaTokenizerFast", "legacy": True, "add_bos_token": True, "add_eos_token": True, **eos}
    yield "legacy", sentence_pieces("first"), legacy, {}, "llama"
    yield "unigram", unigram(), {"tokenizer_class": fast, "eos_token": "</s>", "bos_token": None}, {}, "llama"
    qwen = {"tokenizer_class": "Qwen2Tokenizer", "additional_special_tokens": MARKS, **end}
    yield "qwen", bytes_bpe(), qwen, {}, "qwen3"
    gpt = {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True, "added_tokens_decoder": {
        "0": token("<|endoftext|>"), "700": token("<|im_start|>", rstrip=True), "701": token("<|im_end|>", lstrip=True)}}
    yield "gpt", bytes_bpe(), gpt, {}, "llama"
    files = {"special_tokens_map.json": {"bos_token": "<|im_start|>", "eos_token": token("<|im_end|>")},
             "added_tokens.json": {"<tool_call>": 900, "</tool_call>": 901}}
    yield "beside", bytes_bpe(), {"tokenizer_class": fast, "eos_token": "<|endoftext|>"}, files, "phi3"
    left = {"tokenizer_class": fast, "truncation_side": "left", "extra_special_tokens": {"tool_token": "<tool_call>"}, **end}
    yield "left", bytes_bpe(specials=MARKS), left, {}, "llama"


def parts():
    """Name, tokenizer, tokenizer_config.json and model type of folders without tokenizer.json."""
    end = {"eos_token": "<|im_end|>"}
    yield "gpt-parts", bytes_bpe(specials=MARKS), {"tokenizer_class": "GPT2Tokenizer", **end}, "llama"
    yield "qwen-parts", bytes_bpe(specials=MARKS), {"tokenizer_class": "Qwen2TokenizerFast", **end}, "llama"
    yield "qwen3-parts", bytes_bpe(), {"additional_special_tokens": MARKS, **end}, "qwen3"


CHATML = """{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}\
{%- if message.role == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' + '\n' }}{% endgeneration %}\
{%- else %}{{ message['content'] + '<|im_end|>' + '\n' }}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

INSTRUCTED = """{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set system = messages[0]['content'] %}\
{% else %}{% set rest = messages %}{% set system = false %}{% endif %}{% for message in rest %}\
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}\
{% if loop.index0 == 0 and system is not false %}{% set content = '<<SYS>>\n' + system + '\n<</SYS>>\n\n' + message['content'] %}\
{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}\
{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}\
{% generation %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endgeneration %}{% endif %}{% endfor %}"""

HEADED = """{{- bos_token if bos_token is defined }}
{%- for message in messages %}
    {{- '<|start|>' + message['role'] + '<|stop|>\\n\\n' }}
    {%- if message['role'] == 'assistant' %}
        {%- generation %}
            {{- message['content'] | trim + eos_token }}
        {%- endgeneration %}
    {%- else %}
        {{- message['content'] | trim + eos_token }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant<|stop|>\\n\\n' }}
{%- endif %}
"""

THINKING = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- '# Tools\\n' }}
    {%- for tool in tools %}
        {{- '\\n' }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(asking=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.asking and message.role == 'user' and message.content is string and not message.content.startswith('<tool_response>') %}
        {%- set ns.asking = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == 'assistant' %}
        {%- set thoughts = '' %}
        {%- if message.reasoning_content is string %}
            {%- set thoughts = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set thoughts = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>' + message.role + '\\n' }}
        {%- generation %}
            {%- if loop.index0 > ns.last and (loop.last or thoughts) %}
                {{- '<think>\\n' + thoughts.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- content }}
            {%- endif %}
            {%- if message.tool_calls %}
                {%- for call in message.tool_calls %}
                    {%- if (loop.first and content) or (not loop.first) %}{{- '\\n' }}{%- endif %}
                    {%- if call.function %}{%- set call = call.function %}{%- endif %}
                    {{- '<tool_call>\\n{"name": "' + call.name + '", "arguments": ' }}
                    {%- if call.arguments is string %}{{- call.arguments }}{%- else %}{{- call.arguments | tojson }}{%- endif %}
                    {{- '}\\n</tool_call>' }}
                {%- endfor %}
            {%- endif %}
            {{- '<|im_end|>\\n' }}
        {%- endgeneration %}
    {%- elif message.role == 'tool' %}
        {%- if loop.first or (messages[loop.index0 - 1].role != 'tool') %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' + content + '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != 'tool') %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}"""

CALLING = """{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {%- if tools is not none and loop.index0 == 0 %}
            {{- '[AVAILABLE_TOOLS] [' }}
            {%- for tool in tools %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, value in tool.function.items() if key != 'return' %}
                    {%- if value is string %}{{- '"' + key + '": "' + value + '"' }}{%- else %}{{- '"' + key + '": ' + value | tojson }}{%- endif %}
                    {%- if not loop.last %}{{- ', ' }}{%- endif %}
                {%- endfor %}
                {{- '}}' }}
                {%- if not loop.last %}{{- ', ' }}{%- else %}{{- ']' }}{%- endif %}
            {%- endfor %}
            {{- '[/AVAILABLE_TOOLS]' }}
        {%- endif %}
        {{- '[INST] ' + message.content + '[/INST]' }}
    {%- elif message.role == 'system' %}
        {{- '[SYSTEM] ' + message.content }}
    {%- elif message.role == 'tool' %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content | string + '}[/TOOL_RESULTS]' }}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {%- generation %}
            {{- '[TOOL_CALLS] [' }}
            {%- for call in message.tool_calls %}
                {{- (call.function | tojson)[:-1] + (', "id": "' + call.id + '"' if call.id is defined else '') + '}' }}
                {%- if not loop.last %}{{- ', ' }}{%- endif %}
            {%- endfor %}
            {{- ']' + eos_token }}
        {%- endgeneration %}
    {%- else %}
        {%- generation %}{{- ' ' + message.content | trim + eos_token }}{%- endgeneration %}
    {%- endif %}
{%- endfor %}"""

RENAMED = """{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}{% set role = 'model' %}\
{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' }}\
{%- if message.name is defined %}{{ '(' ~ message.name ~ ') ' }}{% endif %}\
{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] | trim + '<end_of_turn>\\n' }}{% endgeneration %}\
{% else %}{{ message['content'] | trim + '<end_of_turn>\\n' }}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""

DATED = """Today is {{ strftime_now('%d %B %Y') }}, a {{ strftime_now('%A') }}.\r
{% if documents %}{% for document in documents %}
[{{ loop.index }}] {{ document.title | upper }}: {{ document['text'] }}\r
{% endfor %}{% endif %}\r
{% for message in messages %}\r
<|{{ message.role }}|>\r
{% if message.role == 'assistant' %}{% generation %}{{ message.content }}{{ eos_token }}\r
{% endgeneration %}{% else %}{{ message.content }}{{ eos_token }}\r
{% endif %}\r
{% endfor %}\r
{% if add_generation_prompt %}\r
<|assistant|>\r
{% endif %}"""

PROMPTED = """{% for m in messages %}{% if m['role'] == 'assistant' %}<|assistant|>{% generation %}{{ m['content'].split('</think>')[-1] }}\
{{ eos_token }}
{% endgeneration %}{% else %}<|{{ m['role'] }}|>{{ m['content'] }}
{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|><think>
{% endif %}"""

SHOWN = """{% for message in messages %}{{ loop.index }}/{{ loop.length }} {{ message.role.capitalize() }}: {% if message.content is string %}\
{%- set text = message.content %}{% elif message.content is iterable %}{% set text = message.content | map(attribute='text') | join(' ') %}\
{%- else %}{% set text = '' %}{% endif %}{% if message.role == 'assistant' %}{% generation %}{{ text }}\
{%- if message.tool_calls %}{{ message.tool_calls | tojson(indent=2) }}{% endif %}{{ eos_token }}
{% endgeneration %}{% else %}{{ text }}{{ message.missing }}{% if message.missing is defined or 'x' in message.keys() %}!{% endif %}
{% endif %}{% endfor %}{{ {'a': [1, 2.5, none, true, 1e20], "b'": 'é'} }} {{ [1.0, 0.00001] | tojson }} {{ nothing | default('none') }}"""

TEMPLATES = {"chatml": CHATML, "instructed": INSTRUCTED, "headed": HEADED, "thinking": THINKING, "calling": CALLING,
             "renamed": RENAMED, "dated": DATED, "prompted": PROMPTED, "shown": SHOWN}


def say(role, content, **rest):
    return {"role": role, "content": content, **rest}


FIND = {"type": "function", "function": {"name": "find", "description": "Finds “things”", "parameters": {
    "type": "object", "properties": {"what": {"type": "string"}, "limit": {"type": "number"}}, "required": ["what"]}}}
CALL = {"type": "function", "id": "a1b2c3d4e", "function": {"name": "find", "arguments": {"what": "owl", "limit": 3.0}}}

LINES = [
    {"messages": [say("user", "where is it?"), say("assistant", "hello there")]},
    {"messages": [say("user", "where is it?"), say("assistant", "hello there"), say("user", "and now?"), say("assistant", "on the hill")]},
    {"messages": [say("system", "You are a helpful assistant."), say("user", " What does\nthe wren eat? "), say("assistant", " roots "), say("user", "naïve 🔥?"), say("assistant", "東京 – café\n\n  code")]},
    {"messages": [say("user", "where?", name="anna"), say("assistant", "on the hill", reasoning_content="let me see"), say("user", "sure?"), say("assistant", "yes", thinking="hm")]},
    {"messages": [say("user", "where is it?"), say("assistant", "<think>\nhm\n</think>\n\non the hill"), say("user", "and?"), say("assistant", "<think>\nso\n</think>\n\nthere")]},
    {"messages": [say("user", "find the owl"), say("assistant", None, tool_calls=[CALL]), say("tool", "hill"), say("assistant", "on the hill")], "tools": [FIND]},
    {"messages": [say("user", "find both"), say("assistant", "look", tool_calls=[CALL, CALL]), say("tool", "hill"), say("tool", "cave"), say("assistant", "hill and cave"), say("user", "thanks"), say("assistant", "ok")], "tools": [FIND, FIND], "enable_thinking": False},
    {"messages": [say("user", "read"), say("assistant", "done")], "documents": [{"title": "owl", "text": "it lives\non the hill"}, {"title": "fox", "text": "cave"}]},
    {"messages": [say("user", [{"type": "text", "text": "two"}, {"type": "text", "text": "parts"}]), say("assistant", "one")]},
]

EXCHANGES = [("where is it?", " hello there"), ("where is it?", "\nhello there"), ("Question: what?\nAnswer:", " nuts"),
             ("the hill", "side"), ("naïve ", "🔥 café"), ("hello", " there</s>"), ("a <|im_start|>", "user")]

SENTENCES = ["Good Thing", "naïve Café straße", "hello [MASK] there", "a<|im_start|>b  c", "東京 unknownword"]


def answers(tokenizer, encoded, ranges):
    """The tokens that have a character of a range, from the first to the last."""
    mask = [0] * len(encoded["input_ids"])
    for start, end in ranges:
        within = [i for i, (a, b) in enumerate(encoded["offset_mapping"]) if a < b and a < end and b > start]
        for i in range(within[0], within[-1] + 1) if within else []:
            mask[i] = 1
    return mask


def conversation(tokenizer, line, **extra):
    rest = {key: value for key, value in line.items() if key != "messages"}
    text = tokenizer.apply_chat_template(line["messages"], tokenize=False, **rest)
    messages = [{key: value for key, value in message.items() if value is not None} for message in line["messages"]]
    arguments = {"tools": None, "documents": None, **rest, **tokenizer.special_tokens_map}
    rendered, ranges = chat_template_utils.render_jinja_template(
        conversations=[messages], chat_template=tokenizer.chat_template, return_assistant_tokens_mask=True, **arguments)
    assert rendered == [text]
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, **extra)
    ids = tokenizer.apply_chat_template(line["messages"], tokenize=True, return_dict=True, tokenizer_kwargs={}, **extra, **rest)["input_ids"]
    assert ids == encoded["input_ids"]
    return ids, answers(tokenizer, encoded, [pair for pair in ranges[0] if pair[0] < pair[1]])


class FixedDate(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromisoformat(DATE)


def write(folder, name, data):
    (folder / name).write_text(data if isinstance(data, str) else json.dumps(data), newline="")


def bert(root, cases):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "Good", "thing", "Thing", "naive", "naïve", "cafe", "Café", "hello",
              "there", "stra", "##ss", "##e", "##ße", "東", "京", "a", "b", "c", "<", "|", "im", "_", "start", ">", "unk", "##now"]
    for name, config in {"lower": {"do_lower_case": True}, "cased": {"do_lower_case": False}, "accents": {"do_lower_case": True, "strip_accents": False},
                         "together": {"tokenize_chinese_chars": False}, "none": None,
                         "marked": {"additional_special_tokens": ["<|im_start|>"]}}.items():
        for source in ("vocab", "file"):
            folder = root / f"bert-{name}-{source}"
            folder.mkdir()
            write(folder, "config.json", {"model_type": "bert"})
            if config is not None:
                write(folder, "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", **config})
            if source == "vocab":
                write(folder, "vocab.txt", "".join(piece + "\n" for piece in pieces))
            else:
                # Says otherwise than the configuration, which counts.
                tokenizer = tk.Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
                tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
                tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
                tokenizer.add_special_tokens(pieces[:5])
                tokenizer.save(str(folder / "tokenizer.json"))
            tokenizer = AutoTokenizer.from_pretrained(folder)
            cases += [{"folder": folder.name, "text": text, "ids": tokenizer(text)["input_ids"]} for text in SENTENCES]


PAIRS = [["Good Thing", "hello there"], ["a b c a b c a b c", "good"], ["naive café", "a good thing b hello there c a b"], ["東京", "a|b"]]


def pairs(root):
    """Pairs of sentences, cut and whole, and the logits of a classifier that has two segments."""
    cases = []
    fast = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    configs = {"bert": {"tokenizer_class": "BertTokenizer"}, "left": {"tokenizer_class": "BertTokenizer", "truncation_side": "left"},
               "fast": fast, "typed": {**fast, "model_input_names": inputs},
               "untyped": {"tokenizer_class": "BertTokenizer", "model_input_names": inputs[::2]}}
    for name, config in configs.items():
        folder = root / f"pairs-{name}"
        folder.mkdir()
        for file in (root / "bert-lower-file").iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        tokenizer = tk.Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        tokenizer.save(str(folder / "tokenizer.json"))
        write(folder, "tokenizer_config.json", config)
        torch.manual_seed(len(cases))
        bert = transformers.BertConfig(
            vocab_size=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32, initializer_range=0.5,
            max_position_embeddings=32, num_labels=3)
        model = transformers.BertForSequenceClassification(bert).eval()
        model.save_pretrained(folder)
        loaded = AutoTokenizer.from_pretrained(folder)
        for size in (32, 12, 9, 6):
            encoded = loaded([a for a, _ in PAIRS], [b for _, b in PAIRS], truncation=True, max_length=size, padding=True, return_tensors="pt")
            with torch.no_grad():
                logits = model(**{key: encoded[key] for key in encoded}).logits
            rows = [mask.bool() for mask in encoded["attention_mask"]]
            types = encoded.get("token_type_ids", torch.zeros_like(encoded["input_ids"]))
            cases.append({"folder": folder.name, "max_tokens": size, "pairs": PAIRS, "logits": logits.tolist(),
                          "ids": [ids[row].tolist() for ids, row in zip(encoded["input_ids"], rows)],
                          "types": [ids[row].tolist() for ids, row in zip(types, rows)]})
    (root / "pairs.json").write_text(json.dumps(cases))


def losses(root, cases):
    """The mean loss of each case's predicted tokens, by one random decoder for all."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=1024, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=1024, initializer_range=0.3)
    model = transformers.LlamaForCausalLM(config).eval()
    model.save_pretrained(root / "decoder")
    model = model.double()
    for case in cases:
        ids = torch.tensor([case["ids"]])
        labels = torch.where(torch.tensor([case["mask"]]) == 1, ids, -100)
        with torch.no_grad():
            case["loss"] = model(input_ids=ids, labels=labels).loss.item()


def main() -> None:
    root = Path(sys.argv[1])
    if sys.argv[2:] == ["pairs"]:
        bert(root, [])
        pairs(root)
        return
    chat_template_utils.datetime = FixedDate
    cases, sentences, refused = [], [], 0
    for name, tokenizer, config, model in parts():
        folder = root / name
        folder.mkdir()
        tokenizer.model.save(str(folder))
        write(folder, "tokenizer_config.json", config)
        write(folder, "config.json", {"model_type": model})
        loaded = AutoTokenizer.from_pretrained(folder)
        sentences += [{"folder": name, "text": text, "ids": loaded(text)["input_ids"]} for text in SENTENCES + CORPUS]
    for name, tokenizer, config, files, model in folders():
        plain = root / name
        plain.mkdir()
        tokenizer.save(str(plain / "tokenizer.json"))
        write(plain, "tokenizer_config.json", config)
        write(plain, "config.json", {"model_type": model})
        for file, data in files.items():
            write(plain, file, data)
        loaded = AutoTokenizer.from_pretrained(plain)
        end = loaded.eos_token_id
        sentences += [{"folder": name, "text": text, "ids": loaded(text)["input_ids"]} for text in SENTENCES + CORPUS]
        for prompt, response in EXCHANGES:
            text = prompt + response
            encoded = loaded(text, return_offsets_mapping=True)
            ids, mask = encoded["input_ids"], answers(loaded, encoded, [(len(prompt), len(text))])
            first = mask.index(1)
            if ids[-1] != end:
                ids = ids + [end]
            mask = [int(i >= first) for i in range(len(ids))]
            cases.append({"folder": name, "line": {"prompt": prompt, "response": response}, "end": end, "turns": "all", "max_tokens": 1000, "ids": ids, "mask": mask})
        for key, template in TEMPLATES.items():
            tagged = root / f"{name}-{key}"
            untagged = root / f"{name}-{key}-plain"
            for folder in (tagged, untagged):
                folder.mkdir()
                for file in plain.iterdir():
                    (folder / file.name).write_bytes(file.read_bytes())
            write(tagged, "chat_template.jinja", template)
            # A block that is always taken strips spaces and lines as the tags do.
            source = re.sub(r"\{%(-?) *generation *(-?)%\}", r"{%\1 if true \2%}", template)
            source = re.sub(r"\{%(-?) *endgeneration *(-?)%\}", r"{%\1 endif \2%}", source)
            write(untagged, "chat_template.jinja", source)
            loaded = AutoTokenizer.from_pretrained(tagged)
            without = AutoTokenizer.from_pretrained(untagged)
            for number, line in enumerate(LINES):
                try:
                    ids, mask = conversation(loaded, line)
                except Exception:
                    refused += 1
                    continue
                rest = {k: v for k, v in line.items() if k != "messages"}
                assert without.apply_chat_template(line["messages"], tokenize=True, return_dict=True, **rest)["input_ids"] == ids
                mask[0] = 0
                # Without tags, a prompt that begins thoughts is given, not learnt.
                only_tags = "enable_thinking" in line and key == "thinking"
                for folder in (tagged,) if only_tags else (tagged, untagged):
                    whole = {"folder": folder.name, "line": line, "end": end, "date": DATE, "turns": "all", "max_tokens": 1000, "ids": ids, "mask": mask}
                    cases.append(whole)
                    last = mask[:]
                    runs = [list(group) for _, group in itertools.groupby(range(len(mask)), key=lambda i: mask[i])]
                    runs = [run for run in runs if mask[run[0]]]
                    answering = sum(message["role"] == "assistant" for message in line["messages"])
                    if len(runs) == answering and answering > 1:
                        for run in runs[:-1]:
                            for i in run:
                                last[i] = 0
                        cases.append({**whole, "turns": "last", "mask": last})
                if number == 1:
                    # Room for half of it.
                    size = len(ids) // 2 + 2
                    cut, mask = conversation(loaded, line, truncation=True, max_length=size)
                    mask[0] = 0
                    if any(mask):
                        cases.append({"folder": tagged.name, "line": line, "end": end, "date": DATE, "turns": "all", "max_tokens": size, "ids": cut, "mask": mask})
    bert(root, sentences)
    losses(root, cases)
    for case in cases:
        # The order of the keys is part of it.
        case["line"] = json.dumps(case["line"], ensure_ascii=False)
    (root / "cases.json").write_text(json.dumps(cases))
    (root / "sentences.json").write_text(json.dumps(sentences))
    print(transformers.__version__, len(cases), "cases,", len(sentences), "sentences,", refused, "refused by a template")


if __name__ == "__main__":
    main()
