"""The ways out of Jinja's sandbox that its advisories describe, and others of its kind: a chat template finds none.

Each template is one that would show something of Python if it got out: a class, globals, a file.
"""

from __future__ import annotations

import pytest

from tinyllm.codegen.chat.render import Chat, Message, render_chats

ESCAPES = {
    "the classes of a value": "{{ ().__class__.__mro__[1].__subclasses__() }}",
    "an attribute by a filter": "{{ () | attr('__class__') | attr('__mro__') }}",
    "an attribute by its index": "{{ ()['__class__'] }}",
    "an attribute by map": "{{ [()] | map(attribute='__class__') | list }}",
    "an attribute by groupby": "{{ [()] | groupby('__class__') }}",
    "CVE-2016-10745, format": "{{ '{0.__class__.__mro__}'.format(()) }}",
    "CVE-2019-10906, format_map": "{{ '{x.__class__.__mro__}'.format_map({'x': ()}) }}",
    "CVE-2024-56326, format kept for later": "{% set f = '{0.__class__.__mro__}'.format %}{{ f(()) }}",
    "CVE-2024-56326, format by map": "{{ ['{0.__class__.__mro__}'.format] | map('call', ()) | list }}",
    "CVE-2025-27516, format by attr": "{{ ('{0.__class__.__mro__}' | attr('format'))(()) }}",
    "format by attr and map": "{{ ['{0.__class__.__mro__}'] | map('attr', 'format') | map('call', ()) | list }}",
    "the globals of a function": "{{ lipsum.__globals__ }}",
    "the globals of a class": "{{ cycler.__init__.__globals__ }}",
    "the globals of one of ours": "{{ raise_exception.__globals__ }}{{ strftime_now.__globals__ }}",
    "the code of a macro": "{% macro m() %}{% endmacro %}{{ m._func.__code__ }}",
    "a generator's frame": "{{ (messages | map('string')).gi_frame.f_globals }}",
    "a namespace's class": "{% set n = namespace(x=1) %}{{ n.__class__ }}{{ n._Namespace__attrs }}",
    "the template itself": "{{ self._TemplateReference__context }}",
    "the environment": "{{ self.environment }}{{ environment.loader }}",
    "a file by include": "{% include '/etc/passwd' %}",
    "a file by import": "{% import '/etc/passwd' as p %}{{ p }}",
    "a parent's file": "{% extends '/etc/passwd' %}",
    "a module": "{{ __import__('os') }}{{ import('os') }}",
    "a list that is changed": "{% set _ = messages.append(1) %}{{ messages.pop() }}out",
}
SIGNS = ("<class", "<function", "<module", "<frame", "<code", "__builtins__", "root:", "object at 0x", "environ", "out")
"""What a template shows that got out."""


@pytest.mark.parametrize("template", ESCAPES.values(), ids=ESCAPES.keys())
def test_a_template_does_not_get_out_of_the_sandbox(template: str) -> None:
    (shown,) = render_chats(template, [Chat((Message("user", "Hello"),))], None, None)
    assert not [sign for sign in SIGNS if sign in shown.text], shown
