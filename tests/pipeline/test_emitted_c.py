"""The emitted project is C that a careful maker would accept: no warning, no heap, bounded stack, counted memory."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import skip_unless_ci
from tests.pipeline.c_library import compile_call_graphs
from tests.pipeline.conftest import BASE, random_model
from tests.pipeline.killed import killed_at
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.float_model import Model
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.emit.project import Project, emit_project, hash_of
from tinyllm.codegen.emit.write import MANIFEST, write_project
from tinyllm.codegen.memory.plan import plan_memory
from tinyllm.codegen.memory.stack import deepest, stack_depth
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.errors import Failure, UserError

INCLUDE = [f"-Isrc{folder}" for folder in ("", "/engine", "/kernels", "/console", "/port")]
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Wvla", "-Werror"]
HEAP = re.compile(r"\b(malloc|calloc|realloc|free|alloca|strdup)\b *(\(|$|@)", re.MULTILINE)


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        skip_unless_ci(f"{name} is not installed")
    assert path
    return path


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def project(stories: Model, stories_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model at a context of 256, emitted for the host."""
    folder = tmp_path_factory.mktemp("emitted")
    write_project(emit_project(quantize(stories, 256), stories_tokenizer, load_board("host")), folder)
    return folder


@pytest.fixture(scope="module")
def small_project(stories_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with little data, for what looks at the code."""
    folder = tmp_path_factory.mktemp("small")
    write_project(
        emit_project(quantize(random_model(BASE, biases=True)), stories_tokenizer, load_board("host")), folder
    )
    return folder


def sources(project: Path) -> list[str]:
    return [path.relative_to(project).as_posix() for path in sorted((project / "src").rglob("*.c"))]


@pytest.mark.parametrize(
    ("compiler", "level"),
    [
        ("clang", "-O0"),
        *(
            pytest.param(*case, marks=pytest.mark.sweep)
            for case in (("gcc", "-O0"), ("gcc", "-O2"), ("gcc", "-O3"), ("clang", "-O2"), ("clang", "-O3"))
        ),
    ],
)
def test_every_file_compiles_as_c99_without_a_warning(small_project: Path, compiler: str, level: str) -> None:
    compiler = tool(compiler)
    for source in sources(small_project):
        run([compiler, *STRICT, level, *INCLUDE, "-c", source, "-o", "/dev/null"], small_project)


def test_every_header_also_compiles_as_cpp17(small_project: Path) -> None:
    headers = sorted((small_project / "src").rglob("*.h"))
    program = "".join(f'#include "{header.name}"\n' for header in headers) + "int main() { return 0; }\n"
    (small_project / "all.cpp").write_text(program)
    run(
        [tool("g++"), "-std=c++17", "-Wall", "-Wextra", "-Werror", *INCLUDE, "-c", "all.cpp", "-o", "/dev/null"],
        small_project,
    )


def test_cppcheck_finds_nothing(small_project: Path) -> None:
    options = [
        "--enable=warning,portability,performance",
        "--inline-suppr",
        "--std=c99",
        "--error-exitcode=1",
        "--quiet",
        "--suppress=missingIncludeSystem",
    ]
    files = [source for source in sources(small_project) if "windows" not in source]
    assert run([tool("cppcheck"), *options, *INCLUDE, *files], small_project) == ""


def test_nothing_allocates(project: Path) -> None:
    for source in sources(project):
        assert not HEAP.search((project / source).read_text(encoding="utf-8")), source
    program = project / "program"
    run(["cc", "-std=c99", "-O2", *INCLUDE, *sources(project), "-o", str(program)], project)
    symbols = run(["nm", "--undefined-only", str(program)], project)
    assert not HEAP.search(symbols)


def test_every_stack_frame_is_bounded_and_small(project: Path, tmp_path: Path) -> None:
    """Frames of the portable code; the deepest chain of calls is a handful of them."""
    for source in sources(project):
        if "/port/" in source:
            continue
        usage = tmp_path / "frame.su"
        command = ["gcc", "-std=c99", "-O2", "-fstack-usage", *INCLUDE, "-c", source, "-o", str(tmp_path / "frame.o")]
        run(command, project)
        for line in usage.read_text().splitlines():
            function, size, kind = line.split("\t")
            assert kind in ("static", "dynamic,bounded"), line
            assert int(size) <= 512, function


def test_ram_of_the_bundled_model_at_context_256_is_under_150_kb(project: Path) -> None:
    program = project / "sized"
    portable = [source for source in sources(project) if "/port/" not in source]
    objects = []
    for index, source in enumerate(portable):
        objects.append(str(program.with_suffix(f".{index}.o")))
        run(["cc", "-std=c99", "-O2", *INCLUDE, "-c", source, "-o", objects[-1]], project)
    rows = [line.split() for line in run(["size", *objects], project).splitlines()[1:]]
    ram = sum(int(data) + int(bss) for _, data, bss, *_ in rows)
    assert ram < 150_000


def test_the_plan_is_what_the_compiler_lays_out(stories: Model, stories_tokenizer: Tokenizer, project: Path) -> None:
    plan = plan_memory(quantize(stories, 256), stories_tokenizer)
    (project / "measure.c").write_text(
        '#include <stdio.h>\n#include "model.h"\n'
        'int main(void) { printf("%zu %zu", sizeof(struct tl_cache), sizeof(struct tl_state)); return 0; }\n'
    )
    run(["cc", *INCLUDE, "measure.c", "-o", "measure"], project)
    cache, state = map(int, run(["./measure"], project).split())
    assert (cache, cache + state) == (plan.ram["kv_cache"], plan.state_bytes)
    for name, prefix in (("weights", "weights"), ("vocabulary", "vocabulary")):
        run(["cc", "-std=c99", "-O2", *INCLUDE, "-c", f"src/{prefix}.c", "-o", "part.o"], project)
        sections = run(["size", "-A", "part.o"], project)
        constants = sum(int(line.split()[1]) for line in sections.splitlines() if line.startswith((".rodata", ".data")))
        # The compiler may round a table up and keeps a few words of its own beside them.
        assert plan.flash[name] <= constants <= plan.flash[name] * 1.02 + 2500


def test_a_window_takes_as_many_slots_of_the_cache_as_it_has_positions(
    stories_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """The plan, what the compiler lays out, and what the emitted memory map tells."""
    caches = {}
    for windows in ((None, None), (8, None), (8, 8), (BASE.context, 999)):
        model = quantize(random_model(replace(BASE, windows=windows)))
        plan = plan_memory(model, stories_tokenizer)
        folder = tmp_path / str(windows)
        write_project(emit_project(model, stories_tokenizer, load_board("host")), folder)
        run(["cc", "-std=c99", *INCLUDE, "-c", "src/model.c", "-o", "model.o"], folder)
        assert f'"ram.kv_cache", {plan.ram["kv_cache"]}' in (folder / "src/model.c").read_text()
        caches[windows] = plan.ram["kv_cache"]
    row = BASE.n_kv_heads * 2 * (BASE.head_dim + 2)
    full = caches[None, None]
    assert full == caches[BASE.context, 999] == 2 * BASE.context * row
    assert caches[8, None] == (8 + BASE.context) * row
    assert caches[8, 8] == 2 * 8 * row


def test_emitting_twice_gives_the_same_bytes(stories_tokenizer: Tokenizer) -> None:
    once = emit_project(quantize(random_model(BASE)), stories_tokenizer, load_board("host"))
    assert once == emit_project(quantize(random_model(BASE)), stories_tokenizer, load_board("host"))
    other = emit_project(quantize(random_model(BASE, seed=1)), stories_tokenizer, load_board("host"))
    assert once.files["src/identity.h"] != other.files["src/identity.h"]


def test_another_model_of_the_same_dimensions_has_the_same_files_to_compile_but_its_own(
    stories_tokenizer: Tokenizer,
) -> None:
    """So PlatformIO's build cache has the rest."""
    one, other = (
        emit_project(quantize(random_model(replace(BASE, name=name), seed)), stories_tokenizer, load_board("host"))
        for seed, name in enumerate(("one", "other"))
    )
    differing = {name for name in one.files if one.files[name] != other.files[name]}
    assert differing == {"README.md", "platformio.ini", "src/identity.h", "src/model.c", "src/weights.c"}


def test_a_rebuild_touches_only_what_changed(stories_tokenizer: Tokenizer, tmp_path: Path) -> None:
    write_project(
        emit_project(quantize(random_model(BASE)), stories_tokenizer, load_board("host")), tmp_path / "project"
    )
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "project").rglob("*") if path.is_file()}
    (tmp_path / "project/notes.txt").write_text("mine")
    (tmp_path / "project/src/mine.c").write_text("int mine;")
    changed = emit_project(quantize(random_model(BASE, seed=1)), stories_tokenizer, load_board("host"))
    write_project(changed, tmp_path / "project")
    touched = {path.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert touched == {"identity.h", "model.c", "weights.c", MANIFEST}
    assert (tmp_path / "project/notes.txt").exists()
    assert (tmp_path / "project/src/mine.c").exists()


@pytest.fixture(scope="module")
def emitted(stories_tokenizer: Tokenizer) -> Project:
    return emit_project(quantize(random_model(BASE)), stories_tokenizer, load_board("host"))


@pytest.fixture(scope="module")
def emitted_anew(stories_tokenizer: Tokenizer) -> Project:
    return emit_project(quantize(random_model(BASE, seed=1)), stories_tokenizer, load_board("host"))


def with_another_file(project: Project) -> Project:
    """An emission that has src/old.c too."""
    text = "int old;\n"
    hashes = project.manifest.files | {"src/old.c": hash_of(text.encode())}
    return replace(project, files=project.files | {"src/old.c": text}, manifest=replace(project.manifest, files=hashes))


def whole(project: Project) -> dict[str, bytes]:
    """What the folder of a project holds."""
    return {name: text.encode() for name, text in (project.files | {MANIFEST: project.manifest.text()}).items()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_that_is_no_longer_emitted_is_removed(emitted: Project, tmp_path: Path) -> None:
    write_project(with_another_file(emitted), tmp_path)
    assert (tmp_path / "src/old.c").exists()
    write_project(emitted, tmp_path)
    assert contents(tmp_path) == whole(emitted)


@pytest.mark.parametrize("again", ["emitted", "emitted_anew"])
@pytest.mark.parametrize(
    ("edited", "named"),
    [
        (["platformio.ini"], "platformio.ini: edited"),
        (["src/engine/matmul.c"], "src/engine/matmul.c: edited"),
        (["src/old.c"], "src/old.c: edited"),
        (["src/weights.c", "src/model.h"], "src/model.h and 1 more: edited"),
    ],
)
def test_what_was_edited_in_a_project_is_not_lost(
    edited: list[str], named: str, again: str, emitted: Project, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    write_project(with_another_file(emitted), tmp_path)
    for name in edited:
        (tmp_path / name).write_text("mine\n")
    before = contents(tmp_path)
    with pytest.raises(UserError) as error:
        write_project(request.getfixturevalue(again), tmp_path)
    first, second = str(error.value).splitlines()
    assert named in first and str(tmp_path) in first
    assert second.startswith("Give another folder (-o), or move what was edited away or delete it.")
    assert contents(tmp_path) == before


def test_a_file_of_a_project_that_was_deleted_is_written_again(emitted: Project, tmp_path: Path) -> None:
    write_project(emitted, tmp_path)
    (tmp_path / "src/model.c").unlink()
    write_project(emitted, tmp_path)
    assert contents(tmp_path) == whole(emitted)


def test_a_project_that_an_older_version_wrote_is_written_again(
    emitted: Project, emitted_anew: Project, tmp_path: Path
) -> None:
    """Its manifest had the names alone."""
    older = with_another_file(emitted)
    write_project(older, tmp_path)
    (tmp_path / MANIFEST).write_text(json.dumps({"model": "x", "files": sorted(older.manifest.files)}))
    (tmp_path / "src/model.c").write_text("mine\n")
    write_project(emitted_anew, tmp_path)
    assert contents(tmp_path) == whole(emitted_anew)


def test_a_project_that_was_not_finished_is_finished(emitted: Project, emitted_anew: Project, tmp_path: Path) -> None:
    write_project(with_another_file(emitted), tmp_path / "project")
    (tmp_path / "project/src/weights.h").unlink()
    (tmp_path / "project/src/weights.h").mkdir()
    with pytest.raises(UserError, match="cannot write the project"):
        write_project(emitted_anew, tmp_path / "project")
    (tmp_path / "project/src/weights.h").rmdir()
    write_project(emitted_anew, tmp_path / "project")
    assert contents(tmp_path / "project") == whole(emitted_anew)


@pytest.mark.parametrize(("before", "step"), [(False, 23), (True, 1)], ids=["in a new folder", "over another project"])
def test_an_emission_that_was_killed_at_any_moment_is_done_by_the_next(
    before: bool, step: int, emitted: Project, emitted_anew: Project, tmp_path: Path
) -> None:
    """And a file that was edited in between is not lost."""
    changes = 0
    for change in range(0, 1000, step):
        folder = tmp_path / str(change)
        if before:
            write_project(with_another_file(emitted), folder)
        if not killed_at(change, lambda folder=folder: write_project(emitted_anew, folder)):
            break
        changes = change
        model = folder / "src/model.c"
        if model.exists():
            content = model.read_bytes()
            model.write_text("mine\n")
            with pytest.raises(UserError, match=r"model\.c: edited"):
                write_project(emitted_anew, folder)
            model.write_bytes(content)
        write_project(emitted_anew, folder)
        assert contents(folder) == whole(emitted_anew)
    assert changes > 5


def test_a_project_of_a_later_tinyllm_is_left_alone(emitted: Project, tmp_path: Path) -> None:
    write_project(emitted, tmp_path)
    manifest = tmp_path / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 2}))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="a project of format 2, which a later tinyllm wrote; this one writes format 1"):
        write_project(emitted, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"files": 7}',
        '{"files": {"src/model.c": 7}}',
        '{"files": {"/dev/zero": "", "../x": ""}}',
        '{"files": ["../x", "\\u0000", "src"]}',
        "[" * 100_000,
    ],
)
def test_a_manifest_that_is_none_names_no_files(text: str, emitted: Project, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("not of the project")
    write_project(emitted, tmp_path / "project")
    (tmp_path / "project" / MANIFEST).write_text(text)
    write_project(emitted, tmp_path / "project")
    assert contents(tmp_path / "project") == whole(emitted)
    assert (tmp_path / "x").exists()


def test_a_folder_of_something_else_is_left_alone(stories_tokenizer: Tokenizer, tmp_path: Path) -> None:
    project = emit_project(quantize(random_model(BASE)), stories_tokenizer, load_board("host"))
    for name in ("thesis.tex", "platformio.ini"):
        (tmp_path / name).write_text("years of work")
        with pytest.raises(UserError, match="holds other files"):
            write_project(project, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.tex", "platformio.ini"}


def test_a_hostile_model_name_stays_inside_its_string(stories_tokenizer: Tokenizer, tmp_path: Path) -> None:
    config = replace(BASE, name='a"; */ int x; /* \\\n#error é')
    write_project(emit_project(quantize(random_model(config)), stories_tokenizer, load_board("host")), tmp_path)
    for source in ("src/model.c", "src/weights.c"):
        run(["cc", *STRICT, *INCLUDE, "-c", source, "-o", "/dev/null"], tmp_path)


def test_a_tokenizer_of_another_size_is_refused(stories_tokenizer: Tokenizer) -> None:
    model = quantize(random_model(replace(BASE, vocab_size=100)))
    with pytest.raises(UserError, match="100 tokens, its tokenizer 512"):
        emit_project(model, stories_tokenizer, load_board("host"))


def test_the_deepest_chain_of_calls_is_known(project: Path, tmp_path: Path) -> None:
    compile_call_graphs(project, tmp_path, ["gcc", "-O2"])
    stack = stack_depth(tmp_path)
    assert stack.bytes < 2048
    assert stack.chain[0] == "tl_console_poll"
    token = stack_depth(tmp_path, ["tl_answer_step"])
    assert "tl_forward" in token.chain
    assert token.bytes < stack.bytes


def test_without_call_graphs_no_stack_is_told(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no call graph of tl_console_start; compile with gcc and -fcallgraph-info=su"):
        stack_depth(tmp_path)


def test_a_stack_without_a_bound_is_refused() -> None:
    with pytest.raises(Failure, match="a calls itself"):
        deepest("a", {"a": 8, "b": 8}, {"a": {"b"}, "b": {"a"}})
