"""The messages that programs and boards exchange, as docs/protocol.md specifies them.

Every message knows its type, writes its body with `body()` and reads it with `from_body()`, which raises MalformedBody
on anything that is not exactly such a body. Integers are little-endian; Q16.16 values are the real value times 65536.
"""

from tinyllm.codegen.arithmetic.sampler_settings import Overflow, Setting
from tinyllm.host.link.messages.body import (
    MalformedBody,
)
from tinyllm.host.link.messages.codes import (
    ATTENTION,
    MAX_LOGITS,
    PROMPT_HEADER,
    PROTOCOL_VERSION,
    Q16,
    REPLY_TYPES,
    REQUEST_TYPES,
    UNTIL_STOP,
    ErrorCode,
    PromptKind,
    Reason,
    ReplyType,
    RequestType,
    WeightsState,
    token_digest,
)
from tinyllm.host.link.messages.parse import (
    parse_reply,
    parse_request,
    to_frame,
)
from tinyllm.host.link.messages.replies import (
    Done,
    Error,
    HelloReply,
    LogitsReply,
    MemoryReply,
    Ok,
    Progress,
    Reply,
    Settings,
    Token,
)
from tinyllm.host.link.messages.requests import (
    Bye,
    Cancel,
    Get,
    Hello,
    Logits,
    Memory,
    Prompt,
    Request,
    Reset,
    Set,
)

__all__ = [
    "ATTENTION",
    "MAX_LOGITS",
    "PROMPT_HEADER",
    "PROTOCOL_VERSION",
    "Q16",
    "REPLY_TYPES",
    "REQUEST_TYPES",
    "UNTIL_STOP",
    "Bye",
    "Cancel",
    "Done",
    "Error",
    "ErrorCode",
    "Get",
    "Hello",
    "HelloReply",
    "Logits",
    "LogitsReply",
    "MalformedBody",
    "Memory",
    "MemoryReply",
    "Ok",
    "Overflow",
    "Progress",
    "Prompt",
    "PromptKind",
    "Reason",
    "Reply",
    "ReplyType",
    "Request",
    "RequestType",
    "Reset",
    "Set",
    "Setting",
    "Settings",
    "Token",
    "WeightsState",
    "parse_reply",
    "parse_request",
    "to_frame",
    "token_digest",
]
