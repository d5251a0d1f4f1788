"""The process in which `render` renders chat templates: it reads a job as JSON and writes the texts as JSON.

A template is a program by the maker of the checkpoint, who may be a stranger. The sandbox keeps it from Python's
internals, and this process bounds its time and memory.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

CPU_SECONDS = 2
MEMORY_BYTES = 512 << 20
OUTPUT_CHARACTERS = 1 << 20
"""The most characters of one rendered chat."""


class Generation(Extension):
    """{% generation %} marks the model's own text for training; here it only writes its contents."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)


class PlainNamespace(Namespace):
    """A namespace that refuses attributes with a leading underscore, which could lead to Python's internals."""

    def __setitem__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            raise jinja2.exceptions.SecurityError(f"a namespace cannot have an attribute {name!r}")
        super().__setitem__(name, value)


def plain_namespace(*mappings: Mapping[str, Any], **attributes: Any) -> PlainNamespace:
    """The function `namespace` of a template."""
    space = PlainNamespace()
    for name, value in dict(*mappings, **attributes).items():
        space[name] = value
    return space


def plain_dict(*mappings: Mapping[str, Any], **items: Any) -> dict[str, Any]:
    """The function `dict` of a template, which hides the type dict."""
    return dict(*mappings, **items)


def raise_exception(message: object) -> NoReturn:
    """Called by a template to refuse a conversation."""
    raise jinja2.TemplateError(str(message))


def strftime_now(layout: str) -> str:
    """The date or time now, as datetime.strftime writes it."""
    return datetime.now().strftime(layout)


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Plain JSON. Jinja's own filter would escape it for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment(with_clock: bool) -> ImmutableSandboxedEnvironment:
    """Jinja as transformers sets it up for chat templates. Without a clock, strftime_now is undefined."""
    jinja = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols], autoescape=False
    )
    jinja.filters["tojson"] = to_json
    jinja.globals |= {"raise_exception": raise_exception, "namespace": plain_namespace, "dict": plain_dict}
    if with_clock:
        jinja.globals["strftime_now"] = strftime_now
    return jinja


def rendered(template: jinja2.Template, fields: Mapping[str, Any]) -> dict[str, str]:
    """{"text"} of one chat, or {"error"} if the template refuses it."""
    pieces: list[str] = []
    size = 0
    try:
        for piece in template.generate(fields):
            size += len(piece)
            if size > OUTPUT_CHARACTERS:
                return {"error": f"it writes more than {OUTPUT_CHARACTERS} characters"}
            pieces.append(piece)
    except MemoryError:
        return {"error": f"it needs more than {MEMORY_BYTES >> 20} MB of memory"}
    except RecursionError:
        return {"error": "it calls itself too deeply"}
    except Exception as error:  # A template may fail as any program may.
        return {"error": str(error) or type(error).__name__}
    return {"text": "".join(pieces)}


def compiled(source: str, with_clock: bool) -> jinja2.Template | dict[str, str]:
    """The template, or {"error"}."""
    try:
        return environment(with_clock).from_string(source)
    except jinja2.TemplateSyntaxError as error:
        return {"error": f"line {error.lineno}: {error.message}"}
    except (RecursionError, MemoryError):
        return {"error": "it is nested too deeply"}
    except Exception as error:  # Jinja's compiler does not turn every error into its own.
        return {"error": str(error) or type(error).__name__}


def limit_itself() -> None:
    """Limit this process's time and memory. On Windows only the caller's timeout ends it."""
    if sys.platform != "win32":
        import resource

        wanted: list[tuple[int, int]] = [(resource.RLIMIT_CPU, CPU_SECONDS), (resource.RLIMIT_AS, MEMORY_BYTES)]
        for limit, value in wanted:
            _, hard = resource.getrlimit(limit)
            least = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(limit, (least, hard))


def main() -> None:
    """Render the chats of a job; render.render_chats starts this process."""
    job = json.loads(sys.stdin.buffer.read())
    limit_itself()
    template = compiled(job["template"], job["clock"])
    give: Callable[[Mapping[str, Any]], dict[str, str]] = (
        (lambda fields: rendered(template, fields))
        if isinstance(template, jinja2.Template)
        else (lambda fields: template)
    )
    sys.stdout.write(json.dumps([give(fields) for fields in job["chats"]]))


if __name__ == "__main__":
    main()
