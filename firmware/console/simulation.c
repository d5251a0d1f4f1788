#include "simulation.h"

#include "actions.h"

#define WORD_MAX 64u /* bytes of a word of the catalogue */

/* "The kitchen light is on." */
static bool set_light(const struct tinyllm_call *call, struct tinyllm_result *result) {
    char room[WORD_MAX + 1u];
    (void)tinyllm_text(call, "room", room, sizeof room);
    tinyllm_say(result, "The ");
    tinyllm_say(result, room);
    tinyllm_say(result, tinyllm_flag(call, "on") ? " light is on." : " light is off.");
    return true;
}

static bool dim_light(const struct tinyllm_call *call, struct tinyllm_result *result) {
    char room[WORD_MAX + 1u];
    (void)tinyllm_text(call, "room", room, sizeof room);
    tinyllm_say(result, "The ");
    tinyllm_say(result, room);
    tinyllm_say(result, " light is at ");
    tinyllm_say_number(result, tinyllm_number(call, "level"));
    tinyllm_say(result, " percent.");
    return true;
}

static bool set_led(const struct tinyllm_call *call, struct tinyllm_result *result) {
    char color[WORD_MAX + 1u];
    (void)tinyllm_text(call, "color", color, sizeof color);
    tinyllm_say(result, "The LED is ");
    tinyllm_say(result, color);
    tinyllm_say(result, ".");
    return true;
}

static bool blink_led(const struct tinyllm_call *call, struct tinyllm_result *result) {
    tinyllm_say(result, "The LED blinks, times ");
    tinyllm_say_number(result, tinyllm_number(call, "times"));
    tinyllm_say(result, ".");
    return true;
}

static bool set_servo(const struct tinyllm_call *call, struct tinyllm_result *result) {
    tinyllm_say(result, "The servo is at ");
    tinyllm_say_number(result, tinyllm_number(call, "angle"));
    tinyllm_say(result, " degrees.");
    return true;
}

static void say_switched(const char *what, int32_t number, bool on, struct tinyllm_result *result) {
    tinyllm_say(result, what);
    tinyllm_say_number(result, number);
    tinyllm_say(result, on ? " is on." : " is off.");
}

static bool set_relay(const struct tinyllm_call *call, struct tinyllm_result *result) {
    say_switched("Relay ", tinyllm_number(call, "id"), tinyllm_flag(call, "on"), result);
    return true;
}

static bool write_pin(const struct tinyllm_call *call, struct tinyllm_result *result) {
    say_switched("Pin ", tinyllm_number(call, "pin"), tinyllm_flag(call, "on"), result);
    return true;
}

static bool start_timer(const struct tinyllm_call *call, struct tinyllm_result *result) {
    tinyllm_say(result, "The timer runs for ");
    tinyllm_say_number(result, tinyllm_number(call, "minutes"));
    tinyllm_say(result, " minutes.");
    return true;
}

static bool read_sensor(const struct tinyllm_call *call, struct tinyllm_result *result) {
    tinyllm_say(result, tinyllm_is(call, "kind", "temperature") ? "It is 21 degrees."
                        : tinyllm_is(call, "kind", "humidity")  ? "The humidity is 40 percent."
                                                                : "The light is at 60 percent.");
    return true;
}

static bool show_text(const struct tinyllm_call *call, struct tinyllm_result *result) {
    char text[2u * WORD_MAX];
    (void)tinyllm_text(call, "text", text, sizeof text);
    tinyllm_say(result, "The display shows: ");
    tinyllm_say(result, text);
    return true;
}

void tl_simulate_actions(void) {
    (void)tinyllm_action("light.set", set_light);
    (void)tinyllm_action("light.dim", dim_light);
    (void)tinyllm_action("led.set", set_led);
    (void)tinyllm_action("led.blink", blink_led);
    (void)tinyllm_action("servo.set", set_servo);
    (void)tinyllm_action("relay.set", set_relay);
    (void)tinyllm_action("timer.start", start_timer);
    (void)tinyllm_action("sensor.read", read_sensor);
    (void)tinyllm_action("display.show", show_text);
    (void)tinyllm_action("pin.write", write_pin);
}
