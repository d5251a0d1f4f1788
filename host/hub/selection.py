"""Selects the files of a repository that a request needs: all that our readers may use, and no more."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from tinyllm.errors import UserError
from tinyllm.host.hub.client import Listing, RemoteFile
from tinyllm.host.hub.store import NAME
from tinyllm.models.known import KnownModel, known_models

REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]{0,120}")

WEIGHTS = (
    re.compile(r"model\.safetensors"),
    re.compile(r"model-\d{5}-of-\d{5}\.safetensors|model\.safetensors\.index\.json"),
    re.compile(r"pytorch_model\.bin"),
    re.compile(r"pytorch_model-\d{5}-of-\d{5}\.bin|pytorch_model\.bin\.index\.json"),
)
"""The forms of weights beside a config.json, the best first; only one form is pulled."""
COMPANION = re.compile(
    r"config\.json|generation_config\.json|tokenizer[^/]*\.(?:json|model)|special_tokens_map\.json|added_tokens\.json"
    r"|vocab\.json|merges\.txt|chat_template[^/]*|[^/]*\.jinja|[^/]*\.tiktoken"
)
"""The files beside the weights of a Hugging Face folder."""
ADAPTER = "adapter_config.json"
"""The file that peft writes beside the weights of a LoRA adapter."""
CARD = re.compile(r"README\.md|LICEN[CS]E[^/]*|USE_POLICY[^/]*")
LLAMA2C_TOKENIZER = re.compile(r"tok\d*\.(?:bin|model)|tokenizer\.(?:bin|model)")
SHOWN = 8
"""Most names that an error lists."""


@dataclass(frozen=True)
class Request:
    """A request for a model.

    name: the model's name after the pull. file: the path of one checkpoint in the repository. known: the model's entry
    in hub.toml, if it was requested by that name.
    """

    name: str
    repo: str
    revision: str
    file: str | None
    known: KnownModel | None

    @property
    def label(self) -> str:
        """The name of the folder that the files lie in; readers name the model after it."""
        return self.known.name if self.known else self.repo.split("/")[1]


def read_request(name: str, revision: str | None, file: str | None) -> Request:
    """The request that `name` ("NAME", "owner/repo" or "owner/repo@revision") and the options make.

    Raises UserError if they fit no model.
    """
    known = known_models().get(name)
    if known is not None:
        if revision or file:
            raise UserError(
                f"{name} is {known.repo} at one revision, with the files that belong together. For others: "
                f"`tinyllm pull {known.repo} --revision REVISION --file FILE`."
            )
        return Request(name, known.repo, known.revision, None, known)
    repo, _, at = name.partition("@")
    if at and revision and at != revision:
        raise UserError(f"{name} and --revision {revision} name two revisions; give one.")
    if not REPO.fullmatch(repo) or "--" in repo or ".." in repo:
        names = [*known_models()]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Expected owner/repo of the hub, or one of {', '.join(names)}."
        raise UserError(f"{name!r} is no model that can be pulled. {hint}")
    wanted = at or revision or "main"
    if not REVISION.fullmatch(wanted) or ".." in wanted:
        raise UserError(f"revision {wanted!r}: expected a branch, a tag or a commit.")
    called = f"{repo}/{PurePosixPath(file).name}" if file else repo
    if not NAME.fullmatch(called):
        raise UserError(f"{called!r}: the name is too long, or has characters that no file has on every system.")
    return Request(called, repo, wanted, file, None)


def select(listing: Listing, file: str | None) -> list[RemoteFile]:
    """The files to download, the checkpoint first.

    file: a .gguf or a llama2.c .bin of the repository; the tokenizer of a .bin may lie beside it. None: the repository
    is a Hugging Face folder, or holds one such file. Raises UserError if it is neither.
    """
    root = {path: remote for path, remote in listing.files.items() if "/" not in path}
    cards = [remote for path, remote in root.items() if CARD.fullmatch(path)]
    if file is not None:
        return [*_single_file(listing, file), *cards]
    if ADAPTER in root:
        raise UserError(
            f"{listing.repo} is a LoRA adapter, not a whole model. Merge it into its base model first, with peft, and "
            "give the folder of the merged model."
        )
    if "config.json" in root:
        for form in WEIGHTS:
            if weights := [remote for path, remote in root.items() if form.fullmatch(path)]:
                return [*weights, *(root[path] for path in root if COMPANION.fullmatch(path)), *cards]
    for suffix in (".gguf", ".bin"):
        single = [path for path in listing.files if path.endswith(suffix) and not _is_tokenizer(path)]
        if len(single) == 1:
            return [*_single_file(listing, single[0]), *cards]
        if single:
            raise UserError(
                f"{listing.repo} holds {len(single)} checkpoints ({_some(single)}); say which: `--file {single[0]}`."
            )
    raise UserError(
        f"{listing.repo} holds no model that can be read: expected config.json with model.safetensors or "
        f"pytorch_model.bin, a .gguf, or a llama2.c .bin; found {_some(listing.files) or 'no files'}."
    )


def _single_file(listing: Listing, file: str) -> list[RemoteFile]:
    """A checkpoint in one file, and the tokenizers beside it if it holds none itself."""
    if file not in listing.files:
        near = difflib.get_close_matches(file, listing.files, n=3, cutoff=0.4)
        hint = f"near to that: {', '.join(near)}" if near else f"it holds {_some(listing.files) or 'no files'}"
        raise UserError(f"{listing.repo} has no file {file!r}; {hint}.")
    if not file.endswith((".gguf", ".bin")) or _is_tokenizer(file):
        raise UserError(
            f"--file {file}: expected a checkpoint in one file, a .gguf or a llama2.c .bin; "
            "a Hugging Face folder is pulled whole, without --file."
        )
    beside = PurePosixPath(file).parent
    tokenizers = [
        remote
        for path, remote in listing.files.items()
        if PurePosixPath(path).parent == beside and LLAMA2C_TOKENIZER.fullmatch(PurePosixPath(path).name)
    ]
    return [listing.files[file], *([] if file.endswith(".gguf") else tokenizers)]


def _is_tokenizer(path: str) -> bool:
    return LLAMA2C_TOKENIZER.fullmatch(PurePosixPath(path).name) is not None


def _some(names: Iterable[str]) -> str:
    """The first SHOWN names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more
