"""A LLaVA of 0.1 M parameters in a folder, of random weights or trained for seconds to tell dark from bright."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

WORDS = ("<pad>", "<s>", "</s>", "<image>", "<unk>", "dark", "bright", "none", "gray", "?")
SIDE = 32
PATCH = 8
TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% endif %}{% endfor %}{% endfor %}<s>"
)


def processor() -> LlavaProcessor:
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )  # fmt: skip
    pixels = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    return LlavaProcessor(
        pixels, tokenizer, patch_size=PATCH, vision_feature_select_strategy="full", num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )  # fmt: skip


def build() -> LlavaForConditionalGeneration:
    torch.manual_seed(0)
    width = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    eyes = CLIPVisionConfig(**width, image_size=SIDE, patch_size=PATCH, projection_dim=32)
    mouth = LlamaConfig(
        **width, vocab_size=len(WORDS), num_key_value_heads=4, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        max_position_embeddings=256,
    )  # fmt: skip
    image = WORDS.index("<image>")
    config = LlavaConfig(
        vision_config=eyes, text_config=mouth, image_token_index=image, image_token_id=image,
        vision_feature_layer=-1, vision_feature_select_strategy="full",
    )  # fmt: skip
    return LlavaForConditionalGeneration(config)


def train(model: LlavaForConditionalGeneration, steps: int = 60) -> None:
    """Gray squares, each answered by ``dark`` or ``bright``."""
    optimizer, process = torch.optim.AdamW(model.parameters(), lr=3e-3), processor()
    for step in range(steps):
        levels = np.random.default_rng(step).integers(0, 256, 16).tolist()
        images = [Image.new("RGB", (40, 40), (level,) * 3) for level in levels]
        texts = ["<image> <s>" + ("bright" if level > 127 else "dark") + " </s>" for level in levels]
        batch = process(images=images, text=texts, return_tensors="pt", padding=True)
        labels = batch["input_ids"].clone()
        labels[:, :-2] = -100  # the answer alone is learned
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def write(folder: Path, trained: bool) -> Path:
    model = build()
    if trained:
        train(model)
    model.generation_config.do_sample = False
    model.save_pretrained(folder)
    processor().save_pretrained(folder)
    return folder
