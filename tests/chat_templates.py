"""Chat templates that behave like those of well-known models, with the special tokens of the tiny tokenizer."""

from tests.tiny import CHAT_TEMPLATE

# SmolLM2: adds a default system prompt if the conversation has none.
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|system|>\\nYou are a "
    "helpful AI assistant<|end|>\\n' }}{% endif %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + "
    "'<|end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
# Llama 3: removes the system message from the list, always has a system turn, trims every content.
LLAMA3 = """{{- '<|pad|>' }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|system|>\\n\\nCutting Knowledge Date: December 2023\\n" + system_message + "<|end|>" }}
{%- for message in messages %}
    {{- '<|' + message['role'] + '|>\\n\\n' + message['content'] | trim + '<|end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\\n\\n' }}
{%- endif %}
"""
# Qwen3: searches for the last user query from the end and skips roles that it does not know.
QWEN3 = """{%- if messages[0].role == 'system' %}
    {{- '<|system|>\\n' + messages[0].content + '<|end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last_query_index=messages|length - 1, searching=true) %}
{%- for message in messages[::-1] %}
    {%- if ns.searching and message.role == "user" %}
        {%- set ns.last_query_index = (messages|length - 1) - loop.index0 %}
        {%- set ns.searching = false %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) %}
        {{- '<|' + message.role + '|>\\n' + content + '<|end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|' + message.role + '|>\\n' + content + '<|end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""
# Gemma: rejects system turns and non-alternating turns, names the assistant `model`, trims content.
GEMMA = (
    "{{ '<|pad|>' }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}"
    "{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
# OpenChat without its conditions: role names in plain text.
OPENCHAT = (
    "{{ '<|pad|>' }}{% for message in messages %}{{ message['role'].title() + ': ' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
# Whitespace at both ends is part of the template.
SPACED = "\n \n  {% for message in messages %}\n [{{ message['role'] }}] {{ message['content'] }}{% endfor %}\n  \n"

TEMPLATES = {
    "tiny": CHAT_TEMPLATE,
    "smollm2": SMOLLM2,
    "llama3": LLAMA3,
    "qwen3": QWEN3,
    "gemma": GEMMA,
    "openchat": OPENCHAT,
    "spaced": SPACED,
}
