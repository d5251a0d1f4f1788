/* Actions: C functions that carry out the calls of a model. docs/actions.md shows how to write one.
 *
 *     static bool set_fan(const struct tinyllm_call *call, struct tinyllm_result *result) {
 *         analogWrite(FAN_PIN, (int)tinyllm_number(call, "speed"));
 *         tinyllm_say(result, "The fan runs.");
 *         return true;
 *     }
 *
 *     void tinyllm_register_actions(void) {
 *         tinyllm_action("fan.set", set_fan);
 *     }
 */
#ifndef TL_ACTIONS_H
#define TL_ACTIONS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A whole call of the catalogue, each value in its range. */
struct tinyllm_call {
    const char *name;
    const char *arguments; /* as the model wrote them: room="kitchen", on=true) */
};

struct tinyllm_result;

/* Carries out a call, soon: meanwhile the board does nothing else. false: it failed. What it says goes back to the model,
   by default "ok", or "error: failed". */
typedef bool (*tinyllm_handler)(const struct tinyllm_call *call, struct tinyllm_result *result);

/* Lets `handler` carry out the calls of this name, in place of an earlier one. false if the catalogue has none. */
bool tinyllm_action(const char *name, tinyllm_handler handler);

/* A maker's own: called when the board has registered its handlers. Define it in a file of your own. */
void tinyllm_register_actions(void);

/* The value of an argument; false, 0 or "" if the call has none of that name or of that kind. */
bool tinyllm_flag(const struct tinyllm_call *call, const char *argument);
int32_t tinyllm_number(const struct tinyllm_call *call, const char *argument);

/* Its text, at most room - 1 bytes, zero-terminated; returns how many. */
uint32_t tinyllm_text(const struct tinyllm_call *call, const char *argument, char *text, uint32_t room);

/* Whether it is this word. */
bool tinyllm_is(const struct tinyllm_call *call, const char *argument, const char *word);

/* Add to what the model is told; what is too long is cut. */
void tinyllm_say(struct tinyllm_result *result, const char *text);
void tinyllm_say_number(struct tinyllm_result *result, int32_t value);

/* --- For the console --- */

/* Registers the handlers of the board, then the maker's. */
void tl_actions_start(void);

/* Whether a call has a handler. */
bool tl_action_known(const char *text);

/* Carries out a call; what the model is told, or NULL if it has no handler. */
const char *tl_action_run(const char *text);

#ifdef __cplusplus
}
#endif

#endif
