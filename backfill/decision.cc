#include "backfill/decision.h"
