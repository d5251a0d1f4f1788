#include "vector_unit.h"

bool tl_vector_unit = true;
