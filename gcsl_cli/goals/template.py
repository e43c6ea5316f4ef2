"""Chat template that inserts the goal, so that plain `transformers` requests the trained target by default.

tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
tokenizer.apply_chat_template(..., goal="worst")   # or the grade of a level, or "none"
tokenizer.apply_chat_template(..., goal={"helpfulness": "best", "verbosity": 1})   # of a model with several scores
Training renders chat prompts with the same template.
"""

from dataclasses import dataclass
from string import Formatter

from gcsl_cli.errors import ConfigError
from gcsl_cli.goals.joint import JointSpec
from gcsl_cli.goals.joint_template import joint_choice, quote
from gcsl_cli.goals.spec import GoalSpec
from gcsl_cli.goals.wording import scale_values


@dataclass(frozen=True, slots=True)
class ChatTraits:
    """How a model's own chat template treats roles."""

    system: bool
    """Whether it supports a system turn."""
    user: str | None
    """The name it writes for the user; `None` if none was found."""
    assistant: str | None
    """The name it writes for the assistant; `None` if none was found."""
    alternating: bool = False
    """Whether it refuses two turns of one role in a row."""


_NO_GOAL = """\
{%- set gcsl_asked = "none" -%}
"""

_CHOOSE = """\
{{%- set gcsl_goals = {{{goals}}} -%}}
{{%- set gcsl_asked = goal if goal is defined and goal is not none else {default} -%}}
{{%- if gcsl_asked == "none" -%}}{{%- set gcsl_goal = "" -%}}
{{%- elif gcsl_asked in gcsl_goals -%}}{{%- set gcsl_goal = gcsl_goals[gcsl_asked] -%}}
{raw}{{%- else -%}}{{{{- raise_exception("goal=" ~ gcsl_asked ~ ": unknown; one of {allowed}, none.") -}}}}
{{%- endif -%}}
"""

# Content given as parts, as chat clients send it, becomes its text; every other message stays as it is.
_TEXTS = """\
{%- set gcsl_read = namespace(messages=[], text="") -%}
{%- for message in messages -%}
{%- if message["content"] is string or not message["content"] -%}
{%- set gcsl_read.messages = gcsl_read.messages + [message] -%}
{%- else -%}
{%- set gcsl_read.text = "" -%}
{%- for part in message["content"] -%}
{%- if part["type"] != "text" -%}
{{- raise_exception("A message has a part of type " ~ part["type"] ~ "; this model reads text only.") -}}
{%- endif -%}
{%- set gcsl_read.text = gcsl_read.text ~ part["text"] -%}
{%- endfor -%}
{%- set gcsl_read.messages = gcsl_read.messages + [dict(message, content=gcsl_read.text)] -%}
{%- endif -%}
{%- endfor -%}
{%- set messages = gcsl_read.messages -%}
"""

_PLAIN = """\
{%- if messages | length != 1 or messages[0]["role"] != "user" -%}
{{- raise_exception("This model was trained on plain text: give one user message, the text to continue.") -}}
{%- endif -%}
"""

# Rewrites the content of the last user turn, whose index is `gcsl.last`; other turns stay as they are.
_LAST_USER = """\
{{%- set gcsl = namespace(messages=[], last=-1) -%}}
{{%- for message in messages -%}}
{{%- if message["role"] == "user" -%}}{{%- set gcsl.last = loop.index0 -%}}{{%- endif -%}}
{{%- endfor -%}}
{{%- if gcsl.last < 0 -%}}{{{{- raise_exception("There is no user message.") -}}}}{{%- endif -%}}
{{%- for message in messages -%}}
{{%- if loop.index0 == gcsl.last -%}}
{{%- set gcsl_content = {before} ~ message["content"] ~ {after} -%}}
{change}{{%- set gcsl.messages = gcsl.messages + [{{"role": "user", "content": gcsl_content}}] -%}}
{{%- else -%}}
{{%- set gcsl.messages = gcsl.messages + [message] -%}}
{{%- endif -%}}
{{%- endfor -%}}
{{%- set messages = gcsl.messages -%}}
"""

_PLACED = '{{%- if gcsl_asked != "none" -%}}{{%- set gcsl_content = {placed} -%}}{{%- endif -%}}\n'

_SYSTEM = """\
{{%- if gcsl_asked != "none" -%}}
{{%- if messages[0]["role"] == "system" -%}}
{{%- set gcsl_system = gcsl_goal ~ {separator} ~ messages[0]["content"] -%}}
{{%- set messages = [{{"role": "system", "content": gcsl_system}}] + messages[1:] -%}}
{{%- else -%}}
{{%- set messages = [{{"role": "system", "content": gcsl_goal}}] + messages -%}}
{{%- endif -%}}
{{%- endif -%}}
"""

# No dash where the model's own template begins and a plus where it ends, so that its whitespace is preserved.
_PREFIX = '{{%+ if gcsl_asked != "none" and add_generation_prompt %}}{{{{ gcsl_goal ~ {separator} }}}}{{% endif %}}'

# The model's own template is rendered with a mark in place of the last user content. The last user name before the mark
# and the first assistant name after it are the roles of the last exchange.
_ROLE_BEGIN = """\
{{%- set gcsl_mark = "{mark}" -%}}
{{%- set gcsl_turns = messages[gcsl.last + 1:] -%}}
{{%- set gcsl_marked = [{{"role": "user", "content": gcsl_mark}}] -%}}
{{%- set messages = messages[:gcsl.last] + gcsl_marked + gcsl_turns -%}}
{{% set gcsl_text %}}
"""
_ROLE_END = """\
{{%+ endset %}}
{{%- set gcsl_parts = gcsl_text.split(gcsl_mark) -%}}
{{%- set gcsl_role = gcsl_goal ~ {separator} if gcsl_asked != "none" else "" -%}}
{{%- set gcsl_head = gcsl_parts[0].rsplit({user}, 1) | join(gcsl_role ~ {user}) -%}}
{{%- set gcsl_tail = gcsl_parts[1].split({assistant}, 1) | join(gcsl_role ~ {assistant}) -%}}
{{{{- gcsl_head ~ gcsl.messages[gcsl.last]["content"] ~ gcsl_tail -}}}}
"""
MARK = "\\u241fgcsl\\u241f"


def goal_template(spec: GoalSpec, chat_template: str | None, traits: ChatTraits | None = None, start: str = "") -> str:
    """Build a Jinja chat template that inserts the goal of `spec` into the prompt.

    The template argument `goal` accepts `best`, `worst`, the grade of a level, any number for raw scores, or `none`; it
    defaults to the target of the spec.

    Args:
        spec: the goal spec.
        chat_template: the model's own template, which is wrapped in chat formats and unused for plain text.
        traits: how the model's template treats roles; required for the placements `system` and `role`.
        start: text that the tokenizer puts before plain text (a BOS token, or nothing).

    Raises:
        ConfigError: the placement is `role` and the model's template writes no role names.
    """
    choose = _NO_GOAL
    if spec.has_goal:
        choose = joint_choice(spec) if isinstance(spec, JointSpec) else _choice(spec)
    separator = quote(spec.separator)
    if spec.prompt_format == "plain":
        text = 'messages[0]["content"]'
        begin = f"{quote(start)} ~ " if start else ""
        if not spec.has_goal:
            return choose + _TEXTS + _PLAIN + f"{{{{- {begin}{text} -}}}}"
        placed = _placed(spec.placement, text, separator, f" ~ {separator}")
        return choose + _TEXTS + _PLAIN + f'{{{{- {begin}({text} if gcsl_asked == "none" else {placed}) -}}}}'
    before, after = (quote(part) for part in spec.instruction.split("{prompt}"))
    # Jinja drops one trailing newline of a template; once wrapped, the newline is no longer trailing.
    own = (chat_template or "").removesuffix("\n")
    placement = spec.placement if spec.has_goal else "none"
    if placement == "system" and traits is not None and not traits.system:
        placement = "before_prompt"
    placed = ""
    if placement in ("before_prompt", "after_prompt"):
        placed = _PLACED.format(placed=_placed(placement, "gcsl_content", separator, ""))
    turns = choose + _TEXTS + _LAST_USER.format(before=before, after=after, change=placed)
    if placement == "system":
        turns += _SYSTEM.format(separator=separator)
    if placement == "role":
        user, assistant = _role_names(traits)
        begin = _ROLE_BEGIN.format(mark=MARK)
        return turns + begin + own + _ROLE_END.format(separator=separator, user=user, assistant=assistant)
    turns = turns.removesuffix("-%}\n") + "%}\n"
    return turns + own + (_PREFIX.format(separator=separator) if placement == "assistant_prefix" else "")


def _choice(spec: GoalSpec) -> str:
    """Build the part that turns the template argument `goal` into `gcsl_goal`."""
    goals: dict[str | float, str] = {"best": spec.text(spec.best), "worst": spec.text(spec.worst)}
    allowed = ["best", "worst", *spec.labels] if spec.levels else ["best", "worst", "a number"]
    for level, label in zip(spec.levels, spec.labels, strict=True):
        goals |= {spec.grade(level): spec.text(level), float(label): spec.text(level)}
    raw = ""
    if not spec.levels:
        raw = f"{{%- elif gcsl_asked is number -%}}{{%- set gcsl_goal = {_raw_goal(spec)} -%}}\n"
    target = spec.target if spec.target in ("best", "worst") else spec.grade(spec.goal())
    return _CHOOSE.format(
        goals=", ".join(f"{_literal(key)}: {quote(text)}" for key, text in goals.items()),
        default=_literal(target),
        allowed=", ".join(allowed),
        raw=raw,
    )


def _raw_goal(spec: GoalSpec) -> str:
    """Build a Jinja expression for the text of a raw goal."""
    values = scale_values(spec.scale)
    parts = []
    for literal, field, format_spec, _ in Formatter().parse(spec.template):
        parts += [quote(literal)] if literal else []
        if field == "level":
            parts.append(f'"{{:{format_spec}}}".format(gcsl_asked)')
        elif field is not None:
            parts.append(quote(format(values[field], format_spec or "")))
    return " ~ ".join(parts)


def _role_names(traits: ChatTraits | None) -> tuple[str, str]:
    if traits is None or traits.user is None or traits.assistant is None:
        raise ConfigError(
            "goal.placement=role: the model's chat template writes no role names to put the goal in front of. "
            "Use another placement."
        )
    return quote(traits.user), quote(traits.assistant)


def _placed(placement: str, text: str, separator: str, end: str) -> str:
    if placement == "before_prompt":
        return f"gcsl_goal ~ {separator} ~ {text}"
    return f"{text} ~ {separator} ~ gcsl_goal{end}"


def _literal(value: str | float) -> str:
    return quote(value) if isinstance(value, str) else repr(float(value))
