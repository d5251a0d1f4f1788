/* Who lights the LED of the board: an action, once it has, or else the port, while the model thinks. */
#ifndef TL_PORT_LED_H
#define TL_PORT_LED_H

extern bool tl_led_is_taken;

#endif
