/* Regular expressions as tables of finite automata: see codegen/tokenizers/encode/automaton.py. */
#ifndef TL_AUTOMATON_H
#define TL_AUTOMATON_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TL_NO_MATCH UINT32_MAX

/* The end of the match that begins at text[at], at <= end, or TL_NO_MATCH. A match is never empty. */
uint32_t tl_match_end(uint32_t automaton, const uint8_t *text, uint32_t at, uint32_t end);

#ifdef __cplusplus
}
#endif

#endif
