"""The part of the chat template that turns the argument `goal` into the text of a goal with several parts.

`goal` is `best`, `worst`, `none`, or a mapping from the names of parts to `best`, `worst`, a grade, or null for open.
"""

import json
from collections.abc import Mapping

from gcsl_cli.goals.joint import PLACE, JointSpec
from gcsl_cli.goals.spec import GoalSpec

_CHOOSE = """\
{{%- set gcsl_parts = {parts} -%}}
{{%- set gcsl_given = goal if goal is defined and goal is not none else {default} -%}}
{{%- if gcsl_given == "none" -%}}{{%- set gcsl_given = {{}} -%}}
{{%- elif gcsl_given == "best" -%}}{{%- set gcsl_given = {best} -%}}
{{%- elif gcsl_given == "worst" -%}}{{%- set gcsl_given = {worst} -%}}
{{%- elif gcsl_given is not mapping -%}}
{{{{- raise_exception("goal=" ~ gcsl_given ~ ": this model has several goals; give best, worst, none, or the goal of \
each by its name: {names}.") -}}}}
{{%- endif -%}}
{{%- for name in gcsl_given -%}}{{%- if name not in gcsl_parts -%}}
{{{{- raise_exception("goal: there is no " ~ name ~ "; one of {names}.") -}}}}
{{%- endif -%}}{{%- endfor -%}}
{{%- set gcsl_found = namespace(phrases=[]) -%}}
{{%- for name in gcsl_parts if gcsl_given[name] is defined and gcsl_given[name] is not none -%}}
{{%- if gcsl_given[name] in gcsl_parts[name] -%}}
{{%- set gcsl_found.phrases = gcsl_found.phrases + [gcsl_parts[name][gcsl_given[name]]] -%}}
{{%- else -%}}
{{{{- raise_exception("goal: " ~ name ~ "=" ~ gcsl_given[name] ~ " is unknown; one of " ~ gcsl_allowed[name] ~ ".") \
-}}}}
{{%- endif -%}}{{%- endfor -%}}
{{%- set gcsl_asked = "several" if gcsl_found.phrases else "none" -%}}
{{%- set gcsl_goal = "" -%}}
{{%- if gcsl_found.phrases | length == 1 -%}}{{%- set gcsl_goal = {before} ~ gcsl_found.phrases[0] ~ {after} -%}}
{{%- elif gcsl_found.phrases -%}}
{{%- set gcsl_first = gcsl_found.phrases[:-1] | join({between}) -%}}
{{%- set gcsl_goal = {before} ~ gcsl_first ~ {last} ~ gcsl_found.phrases[-1] ~ {after} -%}}
{{%- endif -%}}
"""


def joint_choice(spec: JointSpec) -> str:
    """Build the part that turns the template argument `goal` into `gcsl_goal`; `gcsl_asked` is `none` without goal."""
    before, _, after = spec.frame.partition(PLACE)
    named = dict(zip(spec.names, spec.parts, strict=True))
    ends = {end: _mapping(dict.fromkeys(spec.names, quote(end))) for end in ("best", "worst")}
    default = quote(str(spec.target)) if spec.target in tuple(ends) else _grades(spec.asked(spec.goal()))
    allowed = {name: quote(", ".join(["best", "worst", *part.labels])) for name, part in named.items()}
    return f"{{%- set gcsl_allowed = {_mapping(allowed)} -%}}\n" + _CHOOSE.format(
        parts=_mapping({name: _phrases(part) for name, part in named.items()}),
        default=default,
        names=", ".join(spec.names),
        before=quote(before),
        after=quote(after),
        between=quote(spec.joins[0]),
        last=quote(spec.joins[1]),
        **ends,
    )


def quote(text: str) -> str:
    """A text as a literal of Jinja."""
    return json.dumps(text, ensure_ascii=False)


def _phrases(part: GoalSpec) -> str:
    """The phrase of each target of a part: its grades, as numbers and in short, and both ends."""
    found = {quote("best"): quote(part.texts[-1]), quote("worst"): quote(part.texts[0])}
    for level, label, text in zip(part.levels, part.labels, part.texts, strict=True):
        found |= {repr(float(part.grade(level))): quote(text), repr(float(label)): quote(text)}
    return "{" + ", ".join(f"{key}: {text}" for key, text in found.items()) + "}"


def _grades(grades: Mapping[str, float]) -> str:
    return _mapping({name: repr(float(grade)) for name, grade in grades.items()})


def _mapping(values: Mapping[str, str]) -> str:
    """A mapping from names to literals as a literal of Jinja."""
    return "{" + ", ".join(f"{quote(name)}: {value}" for name, value in values.items()) + "}"
