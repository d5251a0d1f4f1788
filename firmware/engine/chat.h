/* A turn of a chat: what a person said, as the model's chat template writes it (codegen/chat/plan.py). */
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

/* Encodes n_bytes of any bytes and what the template has around them into at most `capacity` tokens and returns how
   many, or TL_ENCODE_TOO_LONG. first: the conversation begins here. last_token: the one that it ends with so far; if
   that ends an answer, it is not repeated. Nothing is read of a text over TL_TEXT_MAX bytes. Not reentrant. */
uint32_t tl_chat_turn(const uint8_t *text, uint32_t n_bytes, bool first, uint32_t last_token, tl_token_t *tokens,
                      uint32_t capacity);

#endif

#ifdef __cplusplus
}
#endif

#endif
