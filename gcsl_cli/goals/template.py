"""The chat template that carries the goal: whoever applies it with plain `transformers` asks for the trained target.

tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
tokenizer.apply_chat_template(..., goal="worst")   # or a level of goal.json, or "none"
"""

import json

from gcsl_cli.goals.spec import GoalSpec

_CHOOSE = """\
{{%- set goals = {goals} -%}}
{{%- set asked = goal if goal is defined else {default} -%}}
{{%- if asked != "none" and asked not in goals -%}}
{{{{- raise_exception("goal=" ~ asked ~ ": unknown; one of {names}, none.") -}}}}
{{%- endif -%}}
"""

_PLAIN = """\
{%- if messages | length != 1 or messages[0]["role"] != "user" -%}
{{- raise_exception("This model was trained on plain text: give one user message, the text to continue.") -}}
{%- endif -%}
"""

_CHAT = """\
{{%- set ns = namespace(messages=[], last=-1) -%}}
{{%- for message in messages -%}}
{{%- if message["role"] == "user" -%}}{{%- set ns.last = loop.index0 -%}}{{%- endif -%}}
{{%- endfor -%}}
{{%- for message in messages -%}}
{{%- if loop.index0 == ns.last -%}}
{{%- set content = {before} ~ message["content"] ~ {after} -%}}
{{%- if asked != "none" -%}}{{%- set content = {placed} -%}}{{%- endif -%}}
{{%- set ns.messages = ns.messages + [{{"role": "user", "content": content}}] -%}}
{{%- else -%}}
{{%- set ns.messages = ns.messages + [message] -%}}
{{%- endif -%}}
{{%- endfor -%}}
{{%- set messages = ns.messages %}}
"""


# The last line of _CHAT ends without a dash: white space at the start of the model's own template stays.


def goal_template(spec: GoalSpec, chat_template: str | None) -> str:
    """A Jinja chat template that puts the goal of `spec` into the prompt.

    `chat_template` is the model's own; it is wrapped for the `chat` format and not needed for `plain`. The template
    argument `goal` takes `best`, `worst`, a level, or `none`; without it the spec's target is asked for.
    """
    goals = {"best": spec.sentences[-1], "worst": spec.sentences[0]}
    literal = ", ".join(
        f"{_quote(name) if isinstance(name, str) else repr(name)}: {_quote(sentence)}"
        for name, sentence in [*goals.items(), *zip(spec.levels, spec.sentences, strict=True)]
    )
    choose = _CHOOSE.format(
        goals="{" + literal + "}",
        default=repr(spec.levels[spec.level()]),
        names=", ".join(["best", "worst", *(repr(level) for level in spec.levels)]),
    )
    separator = _quote(spec.separator)
    if spec.prompt_format == "plain":
        text = 'messages[0]["content"]'
        placed = _placed(spec.placement, text, f"~ {separator}", separator)
        return choose + _PLAIN + f'{{{{- {text} if asked == "none" else {placed} -}}}}'
    before, after = (_quote(part) for part in spec.instruction.split("{prompt}"))
    placed = _placed(spec.placement, "content", "", separator)
    return choose + _CHAT.format(before=before, after=after, placed=placed) + (chat_template or "")


def _placed(placement: str, text: str, end: str, separator: str) -> str:
    if placement == "before_prompt":
        return f"goals[asked] ~ {separator} ~ {text}"
    return f"{text} ~ {separator} ~ goals[asked] {end}"


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
