/* A turn of a chat: the user's text, formatted by the model's chat template (codegen/chat/plan.py). */
#ifndef TL_CHAT_H
#define TL_CHAT_H

#include <stdbool.h>
#include <stdint.h>

#include "chat_template.h"
#include "vocabulary.h"

#ifdef __cplusplus
extern "C" {
#endif

#if TL_CHAT

/* Encodes a user text of n_bytes, any bytes, with the template around it into at most `capacity` tokens. Returns how
   many, or TL_ENCODE_TOO_LONG. first: the conversation begins here. last_token: the conversation's last token; if the
   template ends an answer with it, it is not repeated. A text over TL_TEXT_MAX bytes is not read. Not reentrant. */
uint32_t tl_chat_turn(const uint8_t *text, uint32_t n_bytes, bool first, uint32_t last_token, tl_token_t *tokens,
                      uint32_t capacity);

#endif

#ifdef __cplusplus
}
#endif

#endif
