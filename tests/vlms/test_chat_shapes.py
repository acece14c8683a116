"""The shapes of real servers' answers, and answers made at random whose meaning is known."""

import json
import random

import pytest

from zerolabel.data.classes import Classes
from zerolabel.vlms.chat.answers import Answer, Vocabulary

CAT, DOG, CHAIR = 0, 1, 2
WORDS = Vocabulary(Classes(("cat", "dog", "swivel chair"), (("kitty",), (), ())))
JSON = '{"classes": ["cat"]}'
THOUGHT = "Round ears, so it may be a dog. No: a cat."

CATS = {
    "lone closing tag": f"{THOUGHT}\n</think>\n\n{JSON}",
    "lone closing tag, bare name": f"{THOUGHT}</think>cat",
    "lone closing tag in capitals": f"{THOUGHT}\n</THINK>\n{JSON}",
    "both tags": f"<think>{THOUGHT}</think>\n{JSON}",
    "both tags, empty": f"<think>\n\n</think>\n\n{JSON}",
    "thoughts hold JSON": f'<think>{{"classes": ["dog"]}}</think>{JSON}',
    "two thoughts": f"<think>a</think> dog <think>{THOUGHT}</think>{JSON}",
    "thinking": f"<thinking>{THOUGHT}</thinking>\n{JSON}",
    "reasoning": f"<reasoning>{THOUGHT}</reasoning>{JSON}",
    "Magistral": f"[THINK]{THOUGHT}[/THINK]{JSON}",
    "Kimi": f"◁think▷{THOUGHT}◁/think▷{JSON}",
    "harmony": "<|channel|>analysis<|message|>A dog?<|end|><|start|>assistant<|channel|>final<|message|>"
    + JSON
    + "<|return|>",
    "fence": f"```json\n{JSON}\n```",
    "fence without a language": f"```\n{JSON}\n```",
    "fence on one line": f"```json {JSON} ```",
    "fence with prose around": f"Here is the answer:\n\n```json\n{JSON}\n```\n\nIt has whiskers, unlike a dog.",
    "fence that is not closed": f"```json\n{JSON}",
    "fence around a name": "```\ncat\n```",
    "tildes": f"~~~json\n{JSON}\n~~~",
    "the same fence twice": f"```json\n{JSON}\n```\nAgain:\n```json\n{JSON}\n```",
    "im_end": f"{JSON}<|im_end|>",
    "im_end, and what a model made up after": "cat<|im_end|>\n<|im_start|>user\ndog",
    "</s>": f"{JSON}</s>",
    "<s> and </s>": "<s> cat</s>",
    "eot_id": "cat<|eot_id|>",
    "end_of_turn": "cat<end_of_turn>\n",
    "end_of_utterance": "cat<end_of_utterance>",
    "endoftext": "cat<|endoftext|>",
    "DeepSeek": "cat<｜end▁of▁sentence｜>",
    "begin_of_box": "<|begin_of_box|>cat<|end_of_box|>",
    "INST": "[/INST] cat",
    "role": "<|im_start|>assistant\ncat<|im_end|>",
    "role and colon": "ASSISTANT: cat",
    "header": "<|start_header_id|>assistant<|end_header_id|>\n\ncat",
    "answer tag": "<answer>cat</answer>",
    "answer tag after thoughts": f"<think>{THOUGHT}</think>\n<answer> cat </answer>",
    "answer tag with JSON": f"It purrs. <answer>{JSON}</answer>",
    "answer tag that is not closed": "I see. <answer>cat",
    "answer tag, mentioned before": "I put it in <answer> tags. <answer>cat</answer>",
    "tags in tags": "<output><class>cat</class></output>",
    "boxed": r"The final answer is $\boxed{\text{cat}}$.",
    "quotes": '"cat"',
    "single quotes": "'cat'",
    "backticks": "`cat`",
    "curly quotes": "“cat”",
    "German quotes": "„cat“",
    "guillemets": "« cat »",
    "corner brackets": "「cat」",
    "full width": "ｃａｔ",
    "full-width quotes": "＂cat＂",
    "bold": "**cat**",
    "bold and full stop": "**Cat**.",
    "underlined": "__cat__",
    "heading": "## cat",
    "lead": "Answer: cat",
    "bold lead": "**Answer:** cat",
    "long lead": "The final answer is: **cat**.",
    "lead and JSON": f"Answer: {JSON}",
    "lead and list": 'Here is the answer: ["cat"]',
    "bullet": "- cat",
    "star": "* cat",
    "dot": "• cat",
    "number": "1. cat",
    "number and bracket": "1) **cat**",
    "quoted line": "> cat",
    "JSON and prose after": f"{JSON}\n\nThe picture shows whiskers; it is no dog.",
    "JSON and prose before": f"The ears are those of a cat, not of a dog. {JSON}",
    "list and prose after": '["cat"] because of its whiskers, and not ["dog"]',
    "JSON in Python's quotes": "{'classes': ['cat']}",
    "JSON in curly quotes": "{“classes”: [“cat”]}",
    "JSON in full width": "｛＂classes＂：［＂cat＂］｝",
    "JSON with a comma too many": '{"classes": ["cat",]}',
    "JSON in JSON": json.dumps(JSON),
    "capital key": '{"Classes": ["cat"]}',
    "key class": '{"class": "cat"}',
    "more keys": '{"reason": "not a dog", "classes": ["cat"], "confidence": 0.9}',
    "YAML": "classes:\n- cat",
    "the same JSON twice": f"{JSON}\n{JSON}",
    "byte order mark": f"\ufeff{JSON}",
    "zero width": "\u200bcat\u200b",
    "alias": "**Kitty**",
}


@pytest.mark.parametrize("shape", CATS)
def test_a_cat_in_every_shape(shape):
    assert WORDS.read(CATS[shape], 3) == Answer((CAT,))


SEVERAL = {
    "bullets": "- cat\n- dog",
    "numbers": "1. cat\n2. dog",
    "lead and bullets": "Answer:\n* cat\n* **dog**",
    "quoted words": '"cat", "dog"',
    "bold words": "**cat**, **dog**",
    "semicolon": "cat; dog",
    "ideographic comma": "cat、dog",
    "lines": "cat\ndog",
    "list in a fence": '```\n["cat", "dog"]\n```',
    "tuple": '{"classes": ("cat", "dog")}',
}


@pytest.mark.parametrize("shape", SEVERAL)
def test_several_classes_in_their_order(shape):
    assert WORDS.read(SEVERAL[shape], 3) == Answer((CAT, DOG))


ABSTAINS = {
    "two objects": ('{"classes": ["cat"]} no: {"classes": ["dog"]}', "ambiguous"),
    "two fences": ("```\ncat\n```\n```\ndog\n```", "ambiguous"),
    "two tags": ("<answer>cat</answer> <answer>dog</answer>", "ambiguous"),
    "a key twice": ('{"classes": ["cat"], "classes": ["dog"]}', "unparsable"),
    "a key twice in Python": ("{'classes': ['cat'], 'classes': ['dog']}", "unparsable"),
    "two keys": ('{"class": "cat", "classes": ["dog"]}', "unparsable"),
    "still thinking": ("<think>A cat? Or a dog", "unparsable"),
    "thinks again": ("<think>a</think> <think>cat", "unparsable"),
    "only analysis": ("<|channel|>analysis<|message|>a cat", "unparsable"),
    "nothing after thoughts": ("<think>cat</think>\n", "empty"),
    "only marks": ("<|im_start|><|im_end|></s>", "empty"),
    "sentence": ("It is a cat", "unknown class"),
    "no": ("not a cat", "unknown class"),
    "lead and no": ("The answer is not cat", "unknown class"),
    "struck out": ("~~cat~~", "unknown class"),
    "in a rejected part": ('{"rejected": {"classes": ["cat"]}}', "unparsable"),
    "in a list in prose": ('It is none of ["cat", "dog"]', "unknown class"),
    "cut JSON": ('{"classes": ["cat"', "unparsable"),
    "cut JSON after prose": ('Here: {"classes": ["cat"', "unparsable"),
    "other key": ('{"label": "cat"}', "unparsable"),
    "name and reason": ("cat\n\nBecause of its whiskers, and the dog is away.", "unparsable"),
    "the question again": ("Classes: cat, dog, swivel chair\nAnswer: cat", "unparsable"),
    "half a name in a fence": ("```chair cat```", "unknown class"),
    "negative": ("-1", "unknown class"),
    "none in a fence": ('```json\n{"classes": ["none"]}\n```', "none"),
    "None in bold": ("**None**", "none"),
    "null": ('{"classes": null}', "unparsable"),
    "true": ('{"classes": [true]}', "unparsable"),
}


@pytest.mark.parametrize("shape", ABSTAINS)
def test_what_is_no_clear_answer_abstains(shape):
    text, reason = ABSTAINS[shape]
    assert WORDS.read(text, 3) == Answer((), reason)


ODD = Classes(("true", "null", "1", "1.5", "-7", "C", "C++", "C#", "कि", "की", "None of these", "[x]"))


@pytest.mark.parametrize("name", ODD.names)
@pytest.mark.parametrize("form", ["{}", "```\n{}\n```", "x</think>{}", "{}<|im_end|>", "<answer>{}</answer>", "**{}**"])
def test_odd_names_are_classes(name, form):
    assert Vocabulary(ODD).read(form.replace("{}", name), 1) == Answer((ODD.names.index(name),))


@pytest.mark.parametrize("literal", ["true", "null", "1", "1.5", "-7"])
def test_odd_names_in_json_without_quotes(literal):
    for text in (f'{{"classes": [{literal}]}}', f"[{literal}]", f'{{"class": {literal}}} I think.'):
        assert Vocabulary(ODD).read(text, 1) == Answer((ODD.names.index(literal),))


@pytest.mark.parametrize(
    "text",
    [
        '{"classes": ["C"], "classes": ["C++"]}',
        '```json\n{"class": "C", "class": "C#"}\n```',
        '{"classes": ["C"], "classes": null}',
        'Sure: {"classes": [1], "classes": ["C"]}',
        "{'classes': ['C'], 'classes': ['C#']}",
    ],
)
def test_a_contradiction_is_not_the_class_null(text):
    assert not Vocabulary(ODD).read(text, 1).ids


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("1", "cat"), "1. cat"),
        (("A", "cat"), "A) cat"),
        (("A", "cat"), "(A) cat"),
        (("10", "cat"), "10. cat"),
        (("2", "dog"), "2) dog"),
    ],
)
def test_a_number_that_is_a_class_is_no_bullet(names, text):
    assert Vocabulary(Classes(names)).read(text, 1) == Answer((), "ambiguous")


@pytest.mark.parametrize(("name", "text"), [("5", ".5"), ("1", "-1"), ("C", "C++"), ("कि", "की"), ("5", "5%")])
def test_names_that_differ_by_a_sign_or_a_mark_are_not_taken_for_each_other(name, text):
    assert Vocabulary(Classes((name, "other"))).read(text, 1).reason == "unknown class"


WRAPS = [
    "{}", "```json\n{}\n```", "Sure.\n```\n{}\n```\nDone.", "{}<|im_end|>", "{}</s>", "<answer>{}</answer>",
    "<think>It may be {other}.</think>{}", "It may be {other}.\n</think>\n\n{}", "\n {} \n", "Answer: {}",
]  # fmt: skip


@pytest.mark.slow
def test_two_hundred_answers_made_at_random():
    """What is wrapped is known, so what is read is too: the very classes, or an abstention where it is damaged."""
    chance = random.Random(3)
    names = ("cat", "dog", "swivel chair", "true", "1", "Überzug", "C++", "lamp, desk", "none of it", "日本")
    vocabulary = Vocabulary(Classes(names))
    for i in range(200):
        ids = chance.sample(range(len(names)), chance.choice((1, 1, 2, 3)))
        words = [names[c] for c in ids]
        plain = len(ids) == 1 or not any("," in word for word in words)
        forms = [json.dumps({"classes": words}), json.dumps(words, ensure_ascii=False), repr({"classes": words})]
        forms += (
            [", ".join(words), ", ".join(f'"{word}"' for word in words)] if plain and "lamp, desk" not in words else []
        )
        inside = chance.choice(forms)
        wraps = chance.sample(WRAPS, chance.choice((1, 2)))
        wraps = wraps[:1] if all("```" in wrap for wrap in wraps) else wraps  # a fence in a fence is none
        wraps.sort(key=lambda wrap: "think>" in wrap)  # thoughts come first
        text = inside
        for wrap in wraps:
            text = wrap.replace("{}", text).replace("{other}", chance.choice(names))
        read = vocabulary.read(text, 3)
        assert read == Answer(tuple(ids)), (i, text, read)
        other = chance.choice([c for c in range(len(names)) if c not in ids])
        for worse in (
            text + "\n" + json.dumps({"classes": [names[other]]}),
            text.replace(inside, inside[:-1]) if inside[0] in "{[" else f"not {text}",
            "<think>" + text.replace("</think>", ""),
            f"I rule out {names[other]}, {names[ids[0]]} and others",
        ):
            found = vocabulary.read(worse, 3)
            assert found.ids in ((), tuple(ids)), (i, worse, found)
