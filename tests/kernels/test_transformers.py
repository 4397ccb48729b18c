"""The recipe of the chapter gives what models of the transformers library say of themselves."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

CHAPTER = Path(__file__).parents[2] / "book" / "fused.md"
SMALL = {
    "vocab_size": 61,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
}
MODELS = {
    "untied head": ("Llama", {"tie_word_embeddings": False}),
    "tied head and soft cap": ("Gemma2", {"final_logit_softcapping": 0.5}),
    "logits multiplied": ("Cohere", {"logit_scale": 0.25}),
    "logits divided": ("Granite", {"logits_scaling": 3.0}),
}


def recipe() -> Any:
    """The function that the chapter shows, from the chapter."""
    (code,) = re.findall(
        r"```python\n(.*?def causal_language_loss.*?)```", CHAPTER.read_text(), re.S
    )
    names: dict[str, Any] = {}
    exec(code, names)
    return names["causal_language_loss"]


def test_the_recipe_is_the_loss_of_the_model_with_all_its_gradients() -> None:
    """In a process of its own, as a user would have it: the library loads much native code."""
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["compared"] * 2 * len(MODELS)


def compare(name: str, items: int | None) -> None:
    import transformers

    family, options = MODELS[name]
    config = getattr(transformers, f"{family}Config")(**SMALL, **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, f"{family}ForCausalLM")(config)
        inputs = torch.randint(1, config.vocab_size, (2, 9))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1), std=0.5)
    labels = inputs.clone()
    labels[0, :4] = -100
    counted = {} if items is None else {"num_items_in_batch": items}
    expected = model(input_ids=inputs, labels=labels, **counted).loss
    found = recipe()(model, labels, items, input_ids=inputs)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0.0)
    parameters = list(model.parameters())
    truth = torch.autograd.grad(expected, parameters)
    for mine, theirs in zip(torch.autograd.grad(found, parameters), truth, strict=True):
        scale = theirs.abs().max().item()
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5 * scale)
    print("compared")


if __name__ == "__main__":
    for each in MODELS:
        for count in (None, 50):
            compare(each, count)
