#include "simulation.h"

#include "actions.h"

/* The results are those of the training data: "ok", and a number from a sensor. */
static bool carry_out(const struct tinyllm_call *call, struct tinyllm_result *result) {
    (void)call;
    tinyllm_say(result, "ok");
    return true;
}

static bool read_sensor(const struct tinyllm_call *call, struct tinyllm_result *result) {
    tinyllm_say_number(result, tinyllm_is(call, "kind", "temperature") ? 21
                               : tinyllm_is(call, "kind", "humidity")  ? 40
                                                                       : 60);
    return true;
}

void tl_simulate_actions(void) {
    static const char *const names[] = {"light.set", "light.dim",   "led.set",      "led.blink", "servo.set",
                                        "relay.set", "timer.start", "display.show", "pin.write"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        (void)tinyllm_action(names[i], carry_out);
    }
    (void)tinyllm_action("sensor.read", read_sensor);
}
