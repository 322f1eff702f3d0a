#include "backfill/coordinator.h"
