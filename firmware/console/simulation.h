/* Simulated actions for boards without lights, pins and sensors: the host board and the virtual boards. */
#ifndef TL_SIMULATION_H
#define TL_SIMULATION_H

#ifdef __cplusplus
extern "C" {
#endif

/* Registers a handler for each call of the bundled catalogue. It does nothing and gives the result of a real board. */
void tl_simulate_actions(void);

#ifdef __cplusplus
}
#endif

#endif
