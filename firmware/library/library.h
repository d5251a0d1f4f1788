/* The model in a program of your own, from C; TinyLLM.h has the same as a C++ class. There is one model with one KV
 * cache, so it answers one question at a time. Do not call these functions from two tasks at once.
 *
 *     static void print(const char *piece) {
 *         printf("%s", piece);
 *     }
 *
 *     tinyllm_begin();
 *     tinyllm_ask("Hello!", print);
 */
#ifndef TL_LIBRARY_H
#define TL_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>

#include "session.h"
#include "settings_table.h"
#if TL_ACTIONS
#include "actions.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A function of yours that gets the next part of an answer: whole characters, zero-terminated. */
typedef void (*tinyllm_piece)(const char *piece);

/* Call it once, before all else. Checks the weights, which reads all of them, and sets every setting to its start.
   false: the weights are damaged. */
bool tinyllm_begin(void);

/* Answers the next turn of the conversation, formatted by the model's chat template if it has one. piece may be NULL.
   Returns when the answer has ended. false: there is no answer, and tinyllm_error says why. */
bool tinyllm_ask(const char *text, tinyllm_piece piece);

/* Continues a text as it is, without a chat template. */
bool tinyllm_complete(const char *text, tinyllm_piece piece);

/* The same for a program that must not wait: these return at once, and tinyllm_step does the work. */
bool tinyllm_start(const char *text, tinyllm_piece piece);
bool tinyllm_start_completing(const char *text, tinyllm_piece piece);

/* Does the next step, at most one pass through the model. false: the answer has ended, or nothing was started. */
bool tinyllm_step(void);

/* Whether tinyllm_step has work to do. */
bool tinyllm_busy(void);

/* Ends the answer under way: the next step is its last. You may call it from a tinyllm_piece. */
void tinyllm_stop(void);

/* Forgets the conversation and the answer under way. */
void tinyllm_forget(void);

/* Says why the last call returned false; "" if it did not. */
const char *tinyllm_error(void);

/* Why the last answer ended: TL_REASON_STOP if the model ended it. */
enum tl_reason tinyllm_reason(void);

/* Changes a setting, TL_TEMPERATURE to TL_OVERFLOW. Its unit is Q16.16 or a whole number. false, and nothing changed:
   the value is out of range. */
bool tinyllm_set(enum tl_setting_number setting, uint32_t value);

/* A conversation that waits while another one has the model. All zero at the start. */
struct tinyllm_conversation {
    struct tl_random random;
    uint32_t n;
    tl_token_t tokens[TL_CONTEXT];
};

/* Switches to this conversation. Saves the one before, if it was chosen with tinyllm_use too. The struct is yours; keep
   it as long as it is in use. The model has to read the conversation again: tinyllm_ask does that first; otherwise call
   tinyllm_step until it returns false. Returns false while an answer is under way. */
bool tinyllm_use(struct tinyllm_conversation *conversation);

#ifdef __cplusplus
}
#endif

#endif
