#include "port.h"
#include "simulation.h"

void tl_port_actions(void) {
    tl_simulate_actions();
}
